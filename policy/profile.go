package policy

import "time"

// A Profile says what a sandboxed program may see and do. It is plain data. The zero value shares nothing with the
// host and allows nothing. Parse makes a profile from YAML, Merge combines two profiles, and Validate checks the
// result.
//
// Every list item carries the position that it was read from. Sources holds the position of every scalar. So a plan,
// a report and an error can always name the line that is responsible.
type Profile struct {
	Version      int
	Name         string
	About        string
	Extends      []string
	Root         Root
	Mounts       []Mount // in order
	Hide         []Hide  // applied after the mounts
	Lifted       []Hide  // rules that a profile has removed, and paths that a profile shows below a hidden one
	Hostname     string  // "" means "cordon"
	Namespaces   Namespaces
	User         User
	Env          Env
	Capabilities Capabilities
	Syscalls     Syscalls
	Landlock     Landlock
	Network      Network
	Limits       Limits
	Process      Process
	TTY          TTY
	OnDenial     OnDenial
	Git          Git
	Cache        Cache
	Nest         bool           // another launcher can make a sandbox inside this one: user namespaces and mounts
	Missing      []MissingLayer // layers that this host may lack; the report lists the layers that it does lack

	Remove  []Removal // what Merge removes from the profiles that this one extends; empty in an effective profile
	Sources []Source  // sorted by Path

	Prebuilt *Prebuilt // filters for the profile's system calls that were compiled when cordon was built; or nil
}

// Removal removes an entry of an inherited list or map. Merge applies it. If a removal matches nothing, Merge keeps
// it and Validate reports it.
type Removal struct {
	Section string // "mounts", "hide", "env", "capabilities", "syscalls", "landlock", "limits", "cache" or "missing"
	Value   string // the exact value to remove: a mount's target, a name, a path, a rule's call; ALL for every capability
	Expr    string // for syscalls: the expression of a rule; "" to remove from allow and arches
	Pos     Pos
}

// Pos is a position in a profile. The zero Pos stands for a built-in default. For a flag, File is "command line", Line
// is 0 and Flag is the flag as the user wrote it.
type Pos struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"` // from 1
	Col  int    `json:"col,omitempty"`  // from 1
	Flag string `json:"flag,omitempty"`
}

// Source records the position at which the scalar at Path ("hostname", "limits.wall", "root.host") was set.
type Source struct {
	Path string
	Pos  Pos
}

// Opt is a value that may be unset. Its zero value is unset.
type Opt[T any] struct {
	Set bool
	V   T
}

// RootKind is the kind of tree that becomes "/".
type RootKind string

const (
	RootEmpty RootKind = ""     // an empty tmpfs, read-only once the mounts are in place
	RootHost  RootKind = "host" // the host's own tree, read-only, recursively
	RootDir   RootKind = "dir"  // a directory that holds a root file system
)

// Root is the file tree in which cordon makes the mounts.
type Root struct {
	Kind    RootKind
	Dir     string // for RootDir: the directory
	Write   bool   // for RootDir: the task (the program in the sandbox) may write to it
	Overlay string // "" for none; "tmp": writes go to a tmpfs and vanish; or the directory that stores the changes
	Enter   Enter
}

// Enter says how the sandbox enters the new root.
type Enter string

const (
	EnterPivot  Enter = ""       // pivot_root(2)
	EnterChroot Enter = "chroot" // chroot(2): for an initramfs, where pivot_root fails; cordon never falls back to it
)

// MountKind says what a Mount puts into the tree.
type MountKind string

const (
	MountBind     MountKind = "bind"     // a file or directory of the host
	MountTmpfs    MountKind = "tmpfs"    // an empty tmpfs
	MountEmpty    MountKind = "empty"    // an empty read-only directory that belongs to the sandbox
	MountProc     MountKind = "proc"     // proc of the sandbox's pid namespace; by default it hides what the OCI runtime spec lists
	MountDev      MountKind = "dev"      // a minimal /dev
	MountMqueue   MountKind = "mqueue"   // the POSIX message queues of the sandbox's ipc namespace
	MountSysfs    MountKind = "sysfs"    // sysfs, read-only
	MountOverlay  MountKind = "overlay"  // overlayfs: Source is the lower directory, Upper as in Root.Overlay
	MountSymlink  MountKind = "symlink"  // a symbolic link whose text is Source
	MountDir      MountKind = "dir"      // an empty directory
	MountFile     MountKind = "file"     // a file with the text Content
	MountGenerate MountKind = "generate" // /etc/passwd, group, hosts, hostname, nsswitch.conf or resolv.conf, made for the sandbox
)

// A Mount is one thing that cordon mounts or creates in the tree, at Target.
type Mount struct {
	Kind     MountKind
	Source   string        // bind, overlay: path on the host, with "." and "~" not yet expanded; symlink: the link's text
	Target   string        // the path inside the sandbox; "" means the expanded source (bind)
	Write    bool          // bind: writable (mode: rw)
	NoExec   bool          // bind, tmpfs: nothing on it can be executed
	Unfit    string        // bind: "", or "skip" or "refuse" if the source is unfit as a working directory
	Live     bool          // bind: show a read-only directory directly, and not through an overlay
	Optional bool          // start without this mount if it cannot be made
	Size     int64         // tmpfs: bytes; 0 means the kernel's default, half of memory
	Perm     Opt[uint32]   // tmpfs, empty, dir, file: permission bits
	Content  string        // file: the text
	Upper    string        // overlay: "tmp", or the directory that stores the changes
	Hidepid  string        // proc: "", "noaccess", "invisible", "ptraceable" (proc(5); the names need Linux 5.8)
	Mask     Opt[[]string] // proc: paths to hide; unset means the list of the OCI runtime spec
	ReadOnly Opt[[]string] // proc: paths to make read-only; unset means the list of the OCI runtime spec
	Pos      Pos
}

// Hide makes a path, or every path that a pattern matches, unreadable and unwritable.
type Hide struct {
	Pattern string // absolute, ~/…, or **/…, which applies in every bind that is writable or that the profile names
	Empty   bool   // the task can open the path, and finds it empty
	Pos     Pos
}

// NSMode says whether a namespace is new, the host's, or an existing one.
type NSMode string

const (
	NSNew  NSMode = ""
	NSHost NSMode = "host"
	NSJoin NSMode = "join" // the sandbox joins the namespace at Path: setns(2)
)

// Namespace is one namespace(7).
type Namespace struct {
	Mode NSMode
	Path string // for NSJoin, such as /run/netns/x
}

// Namespaces says for each kind whether the namespace is new (the zero value), the host's, or joined.
type Namespaces struct {
	User, Mount, PID, IPC, UTS, Cgroup, Net Namespace
	Time                                    TimeNamespace

	None bool // namespaces: none: the program runs in place, in the caller's namespaces and tree
}

// TimeNamespace describes the time namespace: time_namespaces(7), since Linux 5.6. Unlike for the other kinds, the
// zero value means the host's namespace, because a new one without offsets changes nothing.
type TimeNamespace struct {
	New       bool
	Path      string        // the namespace to join; "" if none is joined
	Monotonic time.Duration // offset that is added to CLOCK_MONOTONIC
	Boottime  time.Duration // offset that is added to CLOCK_BOOTTIME
}

// HostUser says which host id the task gets.
type HostUser string

const (
	// HostAuto means the caller's own id, or an unprivileged id of the host if root starts cordon.
	HostAuto HostUser = ""
	// HostCaller means the caller's id, even if the caller is root.
	HostCaller HostUser = "caller"
)

// User says which ids the task has, inside and on the host. By default it has the caller's ids inside.
type User struct {
	UID    Opt[uint32]
	GID    Opt[uint32]
	Host   HostUser
	Ranges bool // also map the caller's ranges in /etc/subuid and /etc/subgid, with newuidmap(1) and newgidmap(1)
}

// Env says which environment variables the task gets. The task gets no others.
type Env struct {
	Keep []EnvKeep
	Set  []EnvVar
}

// EnvKeep is a variable name, or a prefix followed by *.
type EnvKeep struct {
	Pattern string
	Pos     Pos
}

// EnvVar is a variable set to a value.
type EnvVar struct {
	Name, Value string
	Pos         Pos
}

// Capabilities says which capabilities(7) the task has. Its bounding, permitted and effective sets are all Keep.
// Names are in upper case and without CAP_.
type Capabilities struct {
	Keep    []Capability
	Ambient []Capability // a subset of Keep, which survives execve(2) although the task is not root inside
}

// Capability is a name such as NET_BIND_SERVICE.
type Capability struct {
	Name string
	Pos  Pos
}

// Syscalls is the seccomp section. Actions are written as in the file ("errno(EPERM)"); package filter parses them.
type Syscalls struct {
	Default string   // the action for calls that cordon knows and the profile does not allow; "" means errno(EPERM)
	Unknown string   // the action for numbers that cordon's table lacks; "" means errno(ENOSYS)
	Arches  []string // empty or [native] for the machine's own; further architectures by name, such as i386 or x32
	Allow   []SyscallItem
	Deny    []SyscallItem
	Rules   []SyscallRule
	Exec    Exec
}

// Exec says whether the program may execute another program.
type Exec string

const (
	ExecAny  Exec = ""     // if the other keys allow it
	ExecOnce Exec = "once" // execve(2) and execveat(2) are denied once the program runs
)

// SyscallItem is the name of a call, or @ and the name of a group.
type SyscallItem struct {
	Name string
	Pos  Pos
}

// SyscallRule decides about one call. Expr is either the condition on the arguments under which the call is allowed
// ("flags & CLONE_NEWUSER == 0"), or an action ("errno(ENOSYS)"). Else is the action if the condition is false; ""
// means Syscalls.Default. Quiet says that denials by this rule are expected, so the run does not list them.
type SyscallRule struct {
	Call  string
	Expr  string
	Else  string
	Quiet bool
	Pos   Pos
}

// Landlock narrows what the mounts allow, with landlock(7). cordon derives unset lists from the mounts.
type Landlock struct {
	Off     bool // the profile says landlock: off
	Read    Opt[[]PathItem]
	Write   Opt[[]PathItem]
	Execute Opt[[]PathItem]
	Scope   Opt[[]string] // signal, abstract-unix-socket (ABI 6, Linux 6.12); unset means both
}

// PathItem is a path in the sandbox, "." and "~" not yet expanded.
type PathItem struct {
	Path string
	Pos  Pos
}

// NetworkMode is the value of the key network, if it is a word.
type NetworkMode string

const (
	NetworkNone  NetworkMode = ""      // a new namespace that has only a loopback device
	NetworkHost  NetworkMode = "host"  // the host's network
	NetworkAllow NetworkMode = "allow" // an own network, in which only the endpoints in Allow can be reached
)

// Network says what the task can reach.
type Network struct {
	Mode      NetworkMode
	Allow     []NetworkItem
	Deny      []NetworkItem // wins over Allow; a profile can add to this list, but not remove from it
	Publish   []NetworkItem // ports of the host that lead into the sandbox
	Interface NetworkInterface
	TLS       NetworkTLS
}

// NetworkTLS says which server name a TLS connection must contain, if a name in Allow has opened the address.
type NetworkTLS string

// NetworkInterface is the network interface that a sandbox with an allow-list has besides its loopback.
type NetworkInterface string

const (
	InterfaceEth0 NetworkInterface = ""
	InterfaceNone NetworkInterface = "none"

	TLSAny         NetworkTLS = "" // an allowed name of the address, or none
	TLSRequireName NetworkTLS = "require-name"
)

// NetworkItem is a rule in the syntax of package endpoint.
type NetworkItem struct {
	Endpoint string
	Pos      Pos
}

// Limits bounds what the task uses. All sizes are in bytes.
type Limits struct {
	Memory     Opt[int64]         // bytes that the whole sandbox may use
	MemoryHigh Opt[int64]         // bytes above which the kernel slows the sandbox down and reclaims its memory
	Swap       Opt[int64]         // bytes
	OOMGroup   bool               // if memory runs out, the kernel kills the whole sandbox and not only one process
	CPUs       Opt[float64]       // number of processors; 1.5 is one and a half
	CPUWeight  Opt[int64]         // share against other cgroups, 1 to 10000; the usual share is 100
	CPUSet     string             // numbers of the processors that the sandbox may use: "0-3,6"
	PIDs       Opt[int64]         // number of processes and threads
	IO         []IOMax            // sorted by path
	IOWeight   Opt[int64]         // share against other cgroups, 1 to 10000; the usual share is 100
	Hugetlb    []Hugetlb          // sorted by page size
	Cgroup     string             // where the sandbox's cgroup is made; "" is like CgroupAuto, if a cgroup is needed
	Wall       Opt[time.Duration] // after this time cordon sends SIGTERM and, after a grace period, SIGKILL
	CPUTime    Opt[time.Duration]
	Output     Opt[int64] // bytes of stdout and stderr together
	Rlimits    []Rlimit   // sorted by name
}

// Values of Limits.Cgroup besides a path in the cgroup tree and the name of a systemd slice. If any value is set,
// cordon makes a cgroup even if no limit needs one.
const (
	CgroupAuto    = "auto"    // beside or below the launcher's own cgroup, whichever is possible
	CgroupSystemd = "systemd" // a transient scope of systemd
)

// IOMax limits how much the sandbox may read and write on a device per second. Path names the device, or a file on
// it. 0 means no limit.
type IOMax struct {
	Path       string // a path on the host, with "." and "~" not yet expanded
	ReadBytes  int64
	WriteBytes int64
	Reads      int64
	Writes     int64
	Pos        Pos
}

// Hugetlb bounds the use of huge pages of one size. Both numbers are in bytes.
type Hugetlb struct {
	PageSize int64
	Max      int64
	Pos      Pos
}

// Unlimited is RLIM_INFINITY.
const Unlimited = ^uint64(0)

// Rlimit is one resource of getrlimit(2), by its lower-case name without RLIMIT_ ("nofile"). Value is both the soft
// and the hard limit.
type Rlimit struct {
	Name  string
	Value uint64
	Pos   Pos
}

// Process holds attributes of the task's process.
type Process struct {
	Workdir     string // the path inside; "" means the caller's directory if it exists inside, and otherwise /
	Umask       Opt[uint32]
	Nice        Opt[int] // -20..19
	OOMScoreAdj Opt[int] // -1000..1000
	Init        Init
}

// TTY says what happens to a terminal on stdin, stdout or stderr.
type TTY string

const (
	TTYNone    TTY = ""        // the terminal does not reach the task
	TTYInherit TTY = "inherit" // the task gets the terminal, and is in a session of its own
	TTYBroker  TTY = "broker"  // the task gets a new terminal, and the launcher (the broker) copies between the two
)

// Git says whether the git repositories in writable paths are protected.
type Git string

// The values of Git.
const (
	GitFree    Git = ""        // repositories are ordinary files
	GitProtect Git = "protect" // the files that decide which programs git runs outside the sandbox are read-only
)

// CacheMode says where the caches of package managers and compilers are kept.
type CacheMode string

// The values of CacheMode.
const (
	CacheOff     CacheMode = ""        // no caches except those that the profile mounts
	CacheProject CacheMode = "project" // each project and profile has caches of its own, in ~/.cache/cordon
	CacheOverlay CacheMode = "overlay" // the task sees the caller's own caches through an overlay
)

// Cache says which caches the task may use. See CacheTools for the tools.
type Cache struct {
	Mode  CacheMode
	Tools Opt[[]string] // unset means all
	Size  Opt[int64]    // overlay: the changes are in memory, at most this many bytes, and are lost at the end
}

// OnDenial says whether the run reports denied system calls.
type OnDenial string

const (
	DenialSilent OnDenial = ""
	DenialReport OnDenial = "report" // list each kind of denied call at the end of the run, decoded
)

// Layer is one mechanism of protection, by its name in reports.
type Layer string

const (
	LayerUser      Layer = "userns"
	LayerMount     Layer = "mount"
	LayerPID       Layer = "pid"
	LayerIPC       Layer = "ipc"
	LayerUTS       Layer = "uts"
	LayerNet       Layer = "net"
	LayerCgroupNS  Layer = "cgroupns"
	LayerTime      Layer = "time"
	LayerCaps      Layer = "caps"
	LayerNoNewPriv Layer = "no_new_privs"
	LayerSeccomp   Layer = "seccomp"
	LayerLandlock  Layer = "landlock"
	LayerCgroup    Layer = "cgroup"
	LayerRlimits   Layer = "rlimits"
	LayerDenials   Layer = "on-denial" // not a protection: the mechanism that reports denied calls
	LayerHide      Layer = "hide"      // only in a report: paths that a hide rule matches and that stay visible
	LayerInPlace   Layer = "namespaces"
)

// MissingLayer names a layer that the host may lack.
type MissingLayer struct {
	Layer Layer
	Pos   Pos
}
