package policy

import "time"

// A Profile says what a sandboxed program may see and do. It is plain data: the zero value shares nothing with the
// host and allows nothing. Parse makes one from YAML, Merge combines several, Validate checks the result.
//
// Every list item carries the position it was read from; Sources holds the position of every scalar, so that a plan,
// a report and an error can always name the line that is responsible.
type Profile struct {
	Version      int
	Name         string
	About        string
	Extends      []string
	Root         Root
	Mounts       []Mount // in order
	Hide         []Hide  // applied after the mounts
	Lifted       []Hide  // rules that a profile took away, and paths below a rule that it shows
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
	Missing      []MissingLayer // layers that the host may lack; they are then reported, not enforced

	Remove  []Removal // what a file takes away from those it is merged over; none is left in an effective profile
	Sources []Source  // sorted by Path

	Prebuilt *Prebuilt // filters of the profile's system calls that were made with the program; nil if there are none
}

// Removal takes away an entry of an inherited list or map. Merge applies it. A removal that matches nothing stays, and
// Validate reports it.
type Removal struct {
	Section string // "mounts", "env", "capabilities", "syscalls", "landlock", "limits" or "missing"
	Value   string // the exact value: a mount's target, a name, a path; for a rule its call; ALL for every capability
	Expr    string // syscalls: the expression of a rule; "" takes from allow and arches
	Pos     Pos
}

// Pos is a place in a profile. The zero Pos stands for a built-in default; File "command line" with Line 0 for a flag,
// whose spelling is then in Flag.
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

// Opt is a scalar that may be unset; its zero value is unset.
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

// Root is the tree that the mounts are put on.
type Root struct {
	Kind    RootKind
	Dir     string // for RootDir
	Write   bool   // RootDir only: writable
	Overlay string // "" none; "tmp": writes go to a tmpfs and vanish; else a directory that keeps the upper layer
	Enter   Enter
}

// Enter is how the new root is entered.
type Enter string

const (
	EnterPivot  Enter = ""       // pivot_root(2)
	EnterChroot Enter = "chroot" // chroot(2): for an initramfs, where pivot_root cannot work; chosen, never fallen back to
)

// MountKind says what a Mount puts into the tree.
type MountKind string

const (
	MountBind     MountKind = "bind"     // a file or directory of the host
	MountTmpfs    MountKind = "tmpfs"    // an empty tmpfs
	MountEmpty    MountKind = "empty"    // an empty directory, read-only, of the sandbox's own
	MountProc     MountKind = "proc"     // proc of the sandbox's own pid namespace, masked as the OCI runtime spec lists
	MountDev      MountKind = "dev"      // a minimal /dev
	MountMqueue   MountKind = "mqueue"   // POSIX message queues of the own ipc namespace
	MountSysfs    MountKind = "sysfs"    // sysfs, read-only
	MountOverlay  MountKind = "overlay"  // overlayfs: Source is the lower directory, Upper as in Root.Overlay
	MountSymlink  MountKind = "symlink"  // a symbolic link whose text is Source
	MountDir      MountKind = "dir"      // an empty directory
	MountFile     MountKind = "file"     // a file with the text Content
	MountGenerate MountKind = "generate" // /etc/passwd, group, hosts, hostname, nsswitch.conf or resolv.conf, made for the sandbox
)

// A Mount is one thing put into the tree, at Target.
type Mount struct {
	Kind     MountKind
	Source   string        // bind, overlay: host path, "." and "~" not yet expanded; symlink: its text
	Target   string        // inside the root; "" means the expanded source (bind)
	Write    bool          // bind: mode: rw
	NoExec   bool          // bind, tmpfs
	Unfit    string        // bind: "", "skip" or "refuse" a source that is no place to work in
	Live     bool          // bind: a read-only directory that is not shown through an overlay
	Optional bool          // bind: a missing source is tolerated; tmpfs, empty, sysfs, generate: a missing target that cannot be made
	Size     int64         // tmpfs: bytes; 0 means the kernel's default, half of memory
	Perm     Opt[uint32]   // tmpfs, empty, dir, file: permission bits
	Content  string        // file
	Upper    string        // overlay: "tmp" or a directory
	Hidepid  string        // proc: "", "noaccess", "invisible", "ptraceable" (proc(5); the names need Linux 5.8)
	Mask     Opt[[]string] // proc: paths to mask; unset means the OCI runtime spec's list
	ReadOnly Opt[[]string] // proc: paths to make read-only; unset means the OCI runtime spec's list
	Pos      Pos
}

// Hide makes a path, or every match of a glob, unreadable and unwritable.
type Hide struct {
	Pattern string // absolute, ~/…, or **/… which applies to every writable or named bind
	Empty   bool   // it can be opened, and is empty
	Pos     Pos
}

// NSMode says whether a namespace is new, the host's, or joined.
type NSMode string

const (
	NSNew  NSMode = ""
	NSHost NSMode = "host"
	NSJoin NSMode = "join" // setns(2) on Path
)

// Namespace is one namespace(7).
type Namespace struct {
	Mode NSMode
	Path string // for NSJoin, e.g. /run/netns/x
}

// Namespaces says for each kind whether it is new (the zero value), the host's, or joined.
type Namespaces struct {
	User, Mount, PID, IPC, UTS, Cgroup, Net Namespace
	Time                                    TimeNamespace
}

// TimeNamespace is time_namespaces(7); since Linux 5.6. Unlike the others its zero value is the host's: a new one
// without offsets changes nothing.
type TimeNamespace struct {
	New       bool
	Path      string        // to join; "" otherwise
	Monotonic time.Duration // offset of CLOCK_MONOTONIC
	Boottime  time.Duration // offset of CLOCK_BOOTTIME
}

// HostUser says which host id the task gets.
type HostUser string

const (
	// HostAuto means the caller's own id, or an unprivileged id of the host if root starts cordon.
	HostAuto HostUser = ""
	// HostCaller is the caller's id even when that is root.
	HostCaller HostUser = "caller"
)

// User says which ids the task has, inside and outside. Unset ids are kept: inside as the caller's.
type User struct {
	UID    Opt[uint32]
	GID    Opt[uint32]
	Host   HostUser
	Ranges bool // map the caller's /etc/subuid and /etc/subgid ranges too, through newuidmap(1), newgidmap(1)
}

// Env says which variables the task sees. Nothing is kept unless named.
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

// Capabilities is a set for capabilities(7): bounding = permitted = effective = Keep. Names without CAP_, upper case.
type Capabilities struct {
	Keep    []Capability
	Ambient []Capability // a subset of Keep, handed to a task that is not root inside
}

// Capability is a name such as NET_BIND_SERVICE.
type Capability struct {
	Name string
	Pos  Pos
}

// Syscalls is the seccomp section. Actions are spelled as in the file ("errno(EPERM)"); package filter parses them.
type Syscalls struct {
	Default string   // for calls that are known and not allowed; "" means errno(EPERM)
	Unknown string   // for numbers outside our table; "" means errno(ENOSYS)
	Arches  []string // "" or [native]; further architectures by name, e.g. i386, x32
	Allow   []SyscallItem
	Deny    []SyscallItem
	Rules   []SyscallRule
	Exec    Exec
}

// Exec says whether the program may replace itself by another.
type Exec string

const (
	ExecAny  Exec = ""     // as the other keys say
	ExecOnce Exec = "once" // execve(2) and execveat(2) are denied once the program runs
)

// SyscallItem is a call's name or a group's, with @.
type SyscallItem struct {
	Name string
	Pos  Pos
}

// SyscallRule decides one call. Expr is a condition on the arguments under which the call is allowed ("flags &
// CLONE_NEWUSER == 0"), or an action ("errno(ENOSYS)"). Else is the action if the condition is false; "" means
// Syscalls.Default.
type SyscallRule struct {
	Call  string
	Expr  string
	Else  string
	Quiet bool
	Pos   Pos
}

// Landlock narrows what the mounts allow, by landlock(7). Unset lists are derived from the mounts.
type Landlock struct {
	Off     bool // asked for in as many words: landlock: off
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

// NetworkMode is the network section's scalar form.
type NetworkMode string

const (
	NetworkNone  NetworkMode = ""      // own namespace, own loopback, nothing else
	NetworkHost  NetworkMode = "host"  // the host's
	NetworkAllow NetworkMode = "allow" // only Allow; no layer enforces it yet
)

// Network says what the task can reach.
type Network struct {
	Mode  NetworkMode
	Allow []NetworkAllowItem
}

// NetworkAllowItem is host:port.
type NetworkAllowItem struct {
	Endpoint string
	Pos      Pos
}

// Limits bounds what the task uses. Sizes are bytes.
type Limits struct {
	Memory     Opt[int64]         // bytes of the whole sandbox
	MemoryHigh Opt[int64]         // bytes above which it is slowed down and its memory reclaimed
	Swap       Opt[int64]         // bytes
	OOMGroup   bool               // where memory runs out, everything is killed and not one process
	CPUs       Opt[float64]       // cores
	CPUWeight  Opt[int64]         // share against others, 1 to 10000, 100 being the usual one
	CPUSet     string             // numbers of the processors that may be used: "0-3,6"
	PIDs       Opt[int64]         // tasks
	IO         []IOMax            // sorted by path
	IOWeight   Opt[int64]         // share against others, 1 to 10000, 100 being the usual one
	Hugetlb    []Hugetlb          // sorted by page size
	Cgroup     string             // where the sandbox's cgroup goes: "" for auto, see CgroupAuto
	Wall       Opt[time.Duration] // then SIGTERM, a grace period, SIGKILL
	CPUTime    Opt[time.Duration]
	Output     Opt[int64] // bytes of stdout and stderr together
	Rlimits    []Rlimit   // sorted by name
}

// Values of Limits.Cgroup besides a path in the cgroup tree and the name of a systemd slice. With any value, cordon
// makes a cgroup even without any limit.
const (
	CgroupAuto    = "auto"    // beside or below the launcher's own, wherever that can be
	CgroupSystemd = "systemd" // a transient scope of systemd
)

// IOMax limits what the sandbox may do to a device in a second. Path is the device, or a file on it. 0 means no limit.
type IOMax struct {
	Path       string // on the host, "." and "~" not yet expanded
	ReadBytes  int64
	WriteBytes int64
	Reads      int64
	Writes     int64
	Pos        Pos
}

// Hugetlb bounds the use of huge pages of one size. Both are bytes.
type Hugetlb struct {
	PageSize int64
	Max      int64
	Pos      Pos
}

// Unlimited is RLIM_INFINITY.
const Unlimited = ^uint64(0)

// Rlimit is one getrlimit(2) resource, by its lower-case name without RLIMIT_ ("nofile"); soft and hard alike.
type Rlimit struct {
	Name  string
	Value uint64
	Pos   Pos
}

// Process holds attributes of the task's process.
type Process struct {
	Workdir     string // inside the root; "" means the caller's where it exists inside, else /
	Umask       Opt[uint32]
	Nice        Opt[int] // -20..19
	OOMScoreAdj Opt[int] // -1000..1000
}

// TTY says what happens to a terminal on stdin, stdout or stderr.
type TTY string

const (
	TTYNone    TTY = ""        // it does not reach the task
	TTYInherit TTY = "inherit" // it is passed through; the task is in a session of its own
	TTYBroker  TTY = "broker"  // the task gets one of its own, and the launcher copies
)

// Git says whether the git repositories in writable paths are protected.
type Git string

// The values of Git.
const (
	GitFree    Git = ""        // they are files like any other
	GitProtect Git = "protect" // what decides which programs git runs outside is read-only
)

// OnDenial says whether denied system calls are reported.
type OnDenial string

const (
	DenialSilent OnDenial = ""
	DenialReport OnDenial = "report" // each kind of call at the end of the run, decoded
)

// Layer is one mechanism, by the name it has in reports.
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
	LayerDenials   Layer = "on-denial" // no protection: what reports denied calls
	LayerHide      Layer = "hide"      // only in a report: what a rule means and does not reach
)

// MissingLayer names a layer that may be missing.
type MissingLayer struct {
	Layer Layer
	Pos   Pos
}
