package policy

// The language is one table: decoding, formatting, showing, suggestions, flags, the reference and the JSON Schema are
// all driven by it. Nothing in it is computed at start-up.

// typ is what a value may be.
type typ uint8

const (
	tSection    typ = iota // a mapping with its own keys
	tText                  // any text
	tName                  // a profile's name
	tExtends               // a profile's name, or a file with a slash
	tVersion               // 1
	tBool                  // true, false
	tWord                  // one of the words of the key
	tInt                   // a whole number in the key's range
	tNumber                // a positive number
	tSize                  // bytes
	tDuration              // a time span
	tOffset                // a time span, may be negative
	tPerm                  // octal permission bits, quoted
	tID                    // a uid or gid, or keep
	tPath                  // a path in the sandbox
	tSource                // a path on the host
	tUpper                 // tmp, or a path on the host
	tLink                  // text of a symbolic link
	tContent               // text of a file
	tHostname              // a host name
	tNamespace             // new, host or a path to join
	tTime                  // new, host, a path to join, or offsets
	tPattern               // a path, or a glob
	tEnvPattern            // a variable's name, or a prefix and *
	tEnvName               // a variable's name
	tCapability            // a capability's name
	tArch                  // native, or an architecture's name
	tCall                  // a system call's name or a group's, with @
	tAction                // allow, errno(NAME), kill, log
	tRule                  // a system call and its condition
	tEndpoint              // host:port
	tRlimit                // an rlimit's value
	tRlimitName            // an rlimit's name
	tCPUSet                // numbers of processors
	tCgroup                // a place in the cgroup tree
	tIOMax                 // what is done per second to a device
	tMount                 // one of the forms of a mount
	tLayer                 // a layer's name
)

// spec is a key without its place in Go.
type spec struct {
	name     string
	typ      typ
	list     bool     // a list of typ
	dict     typ      // not 0: a mapping from names of this type to typ
	words    []string // tWord: the words; the first is the zero value
	min, max int64    // tInt, and the least of a tSize
	doc      string   // one sentence
	def      string   // what holds where the key is not given
	example  string
	flag     string // its twin on the command line, without --
}

// key is a key of a mapping that is decoded into a T. at returns a pointer to the field; nil where the key only
// chooses the form (root: {empty: true}).
type key[T any] struct {
	spec
	at   func(*T) any
	keys []key[T] // of a section
}

// form is one of the shapes that a mapping may take; its first key tells them apart.
type form[T any] struct {
	kind string
	doc  string
	keys []key[T]
}

// words of the scalars that are words; the first of each is the Go zero value.
var (
	boolWords     = []string{"false", "true"}
	modeWords     = []string{"ro", "rw"}
	enterWords    = []string{"pivot", "chroot"}
	hidepidWords  = []string{"off", "noaccess", "invisible", "ptraceable"}
	unfitWords    = []string{"bind", "skip", "refuse"}
	hostUserWords = []string{"auto", "caller"}
	networkWords  = []string{"none", "host"}
	ttyWords      = []string{"none", "inherit", "broker"}
	execWords     = []string{"any", "once"}
	gitWords      = []string{"free", "protect"}
	denialWords   = []string{"silent", "report"}
	scopeWords    = []string{"signal", "abstract-unix-socket"}
	missingWords  = []string{"cgroup", "landlock", "time"}
	generateWords = []string{"/etc/passwd", "/etc/group", "/etc/hosts", "/etc/hostname", "/etc/nsswitch.conf", "/etc/resolv.conf"}
)

var language = []key[Profile]{
	{spec: spec{name: "version", typ: tVersion, doc: "Version of the language.", def: "1", example: "1"},
		at: func(p *Profile) any { return &p.Version }},
	{spec: spec{name: "name", typ: tName, doc: "The profile's name, as reports show it: lower-case letters, digits, `.`, `_`, `-`; at most 64.", def: "the file's name without .yaml", example: "build"},
		at: func(p *Profile) any { return &p.Name }},
	{spec: spec{name: "about", typ: tText, doc: "What the profile is for.", example: "Compile and test a project."},
		at: func(p *Profile) any { return &p.About }},
	{spec: spec{name: "extends", typ: tExtends, list: true, doc: "Profiles that this one is merged over, in order; with a slash a file, relative to this one.", def: "[]", example: "[default]"},
		at: func(p *Profile) any { return &p.Extends }},
	{spec: spec{name: "root", doc: "The tree that the mounts are put on. A later `root:` replaces the whole section.", def: "{empty: true}", example: "{host: ro}", flag: "root"},
		at: func(p *Profile) any { return &p.Root }},
	{spec: spec{name: "mounts", typ: tMount, list: true, doc: "What is put into the tree, in order; a later mount covers an earlier one.", def: "[]", example: "[{bind: ., mode: rw}]", flag: "mount"},
		at: func(p *Profile) any { return &p.Mounts }},
	{spec: spec{name: "hide", typ: tPattern, list: true, doc: "Paths that nobody inside can read or write: absolute, `~/…`, or `**/…` for a name anywhere in a bind; `*`, `?` and `[^a-c]` within a name. What a path leads to is hidden wherever it is shown. `{remove: PATH}` lifts an inherited rule, or shows a path below one.", def: "[]", example: `[~/.ssh, "**/.env"]`, flag: "hide"},
		at: func(p *Profile) any { return &p.Hide }},
	{spec: spec{name: "hostname", typ: tHostname, doc: "Host name inside, at most 64 bytes.", def: "cordon", example: "build", flag: "hostname"},
		at: func(p *Profile) any { return &p.Hostname }},
	{spec: spec{name: "namespaces", doc: "Where each namespace comes from."}, keys: namespaceKeys},
	{spec: spec{name: "user", doc: "Ids inside and outside."}, keys: userKeys},
	{spec: spec{name: "env", doc: "The environment. Nothing is kept that is not named."}, keys: envKeys},
	{spec: spec{name: "capabilities", doc: "Capabilities: bounding, permitted and effective set alike."}, keys: capabilityKeys},
	{spec: spec{name: "syscalls", doc: "The seccomp filter."}, keys: syscallKeys},
	{spec: spec{name: "landlock", doc: "Landlock, derived from the mounts; `off` switches it off, lists narrow it further.", def: "derived", example: "{write: [., /tmp]}", flag: "landlock"},
		at: func(p *Profile) any { return &p.Landlock }, keys: landlockKeys},
	{spec: spec{name: "network", words: networkWords, doc: "`none`: a loopback of its own and nothing else; `host`: the host's network.", def: "none", example: "none", flag: "net"},
		at: func(p *Profile) any { return &p.Network }, keys: networkKeys},
	{spec: spec{name: "limits", doc: "What the task may use."}, keys: limitKeys},
	{spec: spec{name: "process", doc: "Attributes of the task's process."}, keys: processKeys},
	{spec: spec{name: "tty", typ: tWord, words: ttyWords, doc: "A terminal on stdin, stdout or stderr: `none` keeps it out, `inherit` passes it through, in a session of its own, `broker` gives the task one of its own in its place, and the launcher copies.", def: "none", example: "broker", flag: "tty"},
		at: func(p *Profile) any { return &p.TTY }},
	{spec: spec{name: "git", typ: tWord, words: gitWords, doc: "`protect`: in what the task may write, every `.git`, every submodule and what git's configuration runs is read-only, and tokens in the configuration are not shown; a `.git` that appears during the run is reported. `free`: files like any other.", def: "free", example: "protect", flag: "git"},
		at: func(p *Profile) any { return &p.Git }},
	{spec: spec{name: "on-denial", typ: tWord, words: denialWords, doc: "Denied system calls: `silent`, or `report` them, decoded, at the end of the run and in the report.", def: "silent", example: "report", flag: "on-denial"},
		at: func(p *Profile) any { return &p.OnDenial }},
	{spec: spec{name: "missing", typ: tLayer, list: true, words: missingWords, doc: "Layers that a host may lack; they are then reported. Every other layer that cannot be had is an error.", def: "[]", example: "[cgroup, landlock]", flag: "missing"},
		at: func(p *Profile) any { return &p.Missing }},
}

var rootForms = []form[Root]{
	{kind: string(RootHost), doc: "the host's own tree, read-only, with everything mounted in it", keys: []key[Root]{
		{spec: spec{name: "host", typ: tWord, words: []string{"ro"}, doc: "The host's own tree, read-only, recursively.", example: "ro"}},
		{spec: spec{name: "overlay", typ: tUpper, doc: overlayDoc, def: "none", example: "tmp", flag: "overlay"}, at: rootOverlayAt},
		{spec: spec{name: "enter", typ: tWord, words: enterWords, doc: enterDoc, def: "pivot", example: "chroot", flag: "enter"}, at: rootEnterAt},
	}},
	{kind: string(RootDir), doc: "a directory that holds a root file system", keys: []key[Root]{
		{spec: spec{name: "dir", typ: tSource, doc: "A directory of the host that holds a root file system.", example: "/srv/rootfs"}, at: func(r *Root) any { return &r.Dir }},
		{spec: spec{name: "mode", typ: tWord, words: modeWords, doc: "Read-only, or writable.", def: "ro", example: "rw", flag: "root-mode"}, at: func(r *Root) any { return &r.Write }},
		{spec: spec{name: "overlay", typ: tUpper, doc: overlayDoc, def: "none", example: "tmp", flag: "overlay"}, at: rootOverlayAt},
		{spec: spec{name: "enter", typ: tWord, words: enterWords, doc: enterDoc, def: "pivot", example: "chroot", flag: "enter"}, at: rootEnterAt},
	}},
	{kind: string(RootEmpty), doc: "an empty tmpfs, read-only once the mounts are in place", keys: []key[Root]{
		{spec: spec{name: "empty", typ: tWord, words: []string{"true"}, doc: "An empty tree; only the mounts are in it.", example: "true"}},
		{spec: spec{name: "enter", typ: tWord, words: enterWords, doc: enterDoc, def: "pivot", example: "chroot", flag: "enter"}, at: rootEnterAt},
	}},
}

const (
	overlayDoc = "Writes go to `tmp`, a tmpfs, and vanish; or to a directory of the host that keeps them."
	enterDoc   = "`pivot` is pivot_root(2); `chroot` is for an initramfs, where pivot_root cannot work."
)

func rootOverlayAt(r *Root) any { return &r.Overlay }
func rootEnterAt(r *Root) any   { return &r.Enter }

var mountForms = []form[Mount]{
	{kind: string(MountBind), doc: "a file or directory of the host", keys: []key[Mount]{
		{spec: spec{name: "bind", typ: tSource, doc: "The path on the host.", example: "."}, at: mountSource},
		{spec: spec{name: "target", typ: tPath, doc: "Where it appears.", def: "the same path", example: "/src"}, at: mountTarget},
		{spec: spec{name: "mode", typ: tWord, words: modeWords, doc: "Read-only, or writable.", def: "ro", example: "rw"}, at: func(m *Mount) any { return &m.Write }},
		{spec: spec{name: "noexec", typ: tWord, words: boolWords, doc: "Nothing in it can be executed.", def: "false", example: "true"}, at: mountNoExec},
		{spec: spec{name: "unfit", typ: tWord, words: unfitWords, doc: "Where the path is no place to work in (a home, what is above one; for root, a directory of the system): `bind` it all the same, `skip` the mount, or `refuse` to start. A later bind of the same path insists.", def: "bind", example: "refuse"}, at: func(m *Mount) any { return &m.Unfit }},
		{spec: spec{name: "live", typ: tWord, words: boolWords, doc: "A read-only directory is not shown through an overlay: see below.", def: "false", example: "true"}, at: func(m *Mount) any { return &m.Live }},
		{spec: spec{name: "optional", typ: tWord, words: boolWords, doc: "Nothing is mounted where the source does not exist.", def: "false", example: "true"}, at: mountOptional},
	}},
	{kind: string(MountTmpfs), doc: "an empty tmpfs", keys: []key[Mount]{
		{spec: spec{name: "tmpfs", typ: tPath, doc: "Where it is mounted.", example: "/tmp"}, at: mountTarget},
		{spec: spec{name: "size", typ: tSize, min: minMemory, doc: "How much it may hold.", def: "half of memory", example: "1GiB"}, at: func(m *Mount) any { return &m.Size }},
		{spec: spec{name: "mode", typ: tPerm, doc: "Permission bits.", def: `"0755"`, example: `"1777"`}, at: mountPerm},
		{spec: spec{name: "noexec", typ: tWord, words: boolWords, doc: "Nothing in it can be executed.", def: "false", example: "true"}, at: mountNoExec},
		{spec: spec{name: "optional", typ: tWord, words: boolWords, doc: "Nothing is mounted where the target does not exist and cannot be made.", def: "false", example: "true"}, at: mountOptional},
	}},
	{kind: string(MountEmpty), doc: "an empty directory, read-only", keys: []key[Mount]{
		{spec: spec{name: "empty", typ: tPath, doc: "Where it is mounted. What later mounts put below it is there.", example: "/mnt"}, at: mountTarget},
		{spec: spec{name: "mode", typ: tPerm, doc: "Permission bits.", def: `"0755"`, example: `"0700"`}, at: mountPerm},
		{spec: spec{name: "optional", typ: tWord, words: boolWords, doc: "Nothing is mounted where the target does not exist and cannot be made.", def: "false", example: "true"}, at: mountOptional},
	}},
	{kind: string(MountProc), doc: "proc of the sandbox's own processes", keys: []key[Mount]{
		{spec: spec{name: "proc", typ: tPath, doc: "Where it is mounted.", example: "/proc"}, at: mountTarget},
		{spec: spec{name: "hidepid", typ: tWord, words: hidepidWords, doc: "hidepid= of proc(5); the names need Linux 5.8.", def: "off", example: "invisible"}, at: func(m *Mount) any { return &m.Hidepid }},
		{spec: spec{name: "mask", typ: tPath, list: true, doc: "Paths in it that are made empty.", def: "what the OCI runtime specification lists", example: "[/proc/kcore]"}, at: func(m *Mount) any { return &m.Mask }},
		{spec: spec{name: "read-only", typ: tPath, list: true, doc: "Paths in it that are made read-only.", def: "what the OCI runtime specification lists", example: "[/proc/sys]"}, at: func(m *Mount) any { return &m.ReadOnly }},
	}},
	{kind: string(MountDev), doc: "a minimal /dev: null zero full random urandom tty, pts, shm, fd", keys: []key[Mount]{
		{spec: spec{name: "dev", typ: tPath, doc: "Where it is mounted.", example: "/dev"}, at: mountTarget},
	}},
	{kind: string(MountMqueue), doc: "POSIX message queues of the own ipc namespace", keys: []key[Mount]{
		{spec: spec{name: "mqueue", typ: tPath, doc: "Where it is mounted.", example: "/dev/mqueue"}, at: mountTarget},
	}},
	{kind: string(MountSysfs), doc: "sysfs, read-only", keys: []key[Mount]{
		{spec: spec{name: "sysfs", typ: tPath, doc: "Where it is mounted.", example: "/sys"}, at: mountTarget},
		{spec: spec{name: "optional", typ: tWord, words: boolWords, doc: "Nothing is mounted where the target does not exist and cannot be made.", def: "false", example: "true"}, at: mountOptional},
	}},
	{kind: string(MountOverlay), doc: "a directory of the host whose changes go elsewhere", keys: []key[Mount]{
		{spec: spec{name: "overlay", typ: tPath, doc: "Where it is mounted.", example: "/usr"}, at: mountTarget},
		{spec: spec{name: "lower", typ: tSource, doc: "The directory of the host that is seen.", def: "the same path", example: "/usr"}, at: mountSource},
		{spec: spec{name: "upper", typ: tUpper, doc: "`tmp`: changes vanish; else the directory of the host that keeps them.", def: "tmp", example: "tmp"}, at: func(m *Mount) any { return &m.Upper }},
	}},
	{kind: string(MountSymlink), doc: "a symbolic link", keys: []key[Mount]{
		{spec: spec{name: "symlink", typ: tPath, doc: "Where it is.", example: "/bin"}, at: mountTarget},
		{spec: spec{name: "to", typ: tLink, doc: "Its text; required.", example: "usr/bin"}, at: mountSource},
	}},
	{kind: string(MountDir), doc: "a directory, if none is there", keys: []key[Mount]{
		{spec: spec{name: "dir", typ: tPath, doc: "Where it is.", example: "/var/empty"}, at: mountTarget},
		{spec: spec{name: "mode", typ: tPerm, doc: "Permission bits; then it must not exist yet.", def: `"0755"`, example: `"0700"`}, at: mountPerm},
	}},
	{kind: string(MountFile), doc: "a file with the text given", keys: []key[Mount]{
		{spec: spec{name: "file", typ: tPath, doc: "Where it is.", example: "/etc/issue"}, at: mountTarget},
		{spec: spec{name: "content", typ: tContent, doc: "Its text.", def: "empty", example: `"hello\n"`}, at: func(m *Mount) any { return &m.Content }},
		{spec: spec{name: "mode", typ: tPerm, doc: "Permission bits.", def: `"0644"`, example: `"0600"`}, at: mountPerm},
	}},
	{kind: string(MountGenerate), doc: "a file made for the sandbox", keys: []key[Mount]{
		{spec: spec{name: "generate", typ: tWord, words: generateWords, doc: "Which file.", example: "/etc/passwd"}, at: mountTarget},
		{spec: spec{name: "optional", typ: tWord, words: boolWords, doc: "Nothing is made where the target does not exist and cannot be made.", def: "false", example: "true"}, at: mountOptional},
	}},
}

func mountSource(m *Mount) any { return &m.Source }
func mountTarget(m *Mount) any { return &m.Target }
func mountNoExec(m *Mount) any { return &m.NoExec }
func mountPerm(m *Mount) any   { return &m.Perm }

func mountOptional(m *Mount) any { return &m.Optional }

var namespaceKeys = []key[Profile]{
	{spec: spec{name: "user", typ: tNamespace, doc: "user_namespaces(7).", def: "new", example: "new", flag: "ns"}, at: func(p *Profile) any { return &p.Namespaces.User }},
	{spec: spec{name: "mount", typ: tNamespace, doc: "mount_namespaces(7).", def: "new", example: "new", flag: "ns"}, at: func(p *Profile) any { return &p.Namespaces.Mount }},
	{spec: spec{name: "pid", typ: tNamespace, doc: "pid_namespaces(7).", def: "new", example: "new", flag: "ns"}, at: func(p *Profile) any { return &p.Namespaces.PID }},
	{spec: spec{name: "ipc", typ: tNamespace, doc: "ipc_namespaces(7).", def: "new", example: "new", flag: "ns"}, at: func(p *Profile) any { return &p.Namespaces.IPC }},
	{spec: spec{name: "uts", typ: tNamespace, doc: "uts_namespaces(7).", def: "new", example: "new", flag: "ns"}, at: func(p *Profile) any { return &p.Namespaces.UTS }},
	{spec: spec{name: "cgroup", typ: tNamespace, doc: "cgroup_namespaces(7).", def: "new", example: "new", flag: "ns"}, at: func(p *Profile) any { return &p.Namespaces.Cgroup }},
	{spec: spec{name: "net", typ: tNamespace, doc: "network_namespaces(7).", def: "new; the host's with `network: host`", example: "/run/netns/x", flag: "ns"}, at: func(p *Profile) any { return &p.Namespaces.Net }},
	{spec: spec{name: "time", typ: tTime, doc: "time_namespaces(7): `host`, `new`, a path, or `{monotonic: …, boottime: …}` with offsets.", def: "host", example: "{boottime: 1h}", flag: "ns"}, at: func(p *Profile) any { return &p.Namespaces.Time }},
}

var timeKeys = []key[TimeNamespace]{
	{spec: spec{name: "monotonic", typ: tOffset, doc: "Offset of CLOCK_MONOTONIC.", def: "0s", example: "1h"}, at: func(t *TimeNamespace) any { return &t.Monotonic }},
	{spec: spec{name: "boottime", typ: tOffset, doc: "Offset of CLOCK_BOOTTIME.", def: "0s", example: "1h"}, at: func(t *TimeNamespace) any { return &t.Boottime }},
}

var userKeys = []key[Profile]{
	{spec: spec{name: "uid", typ: tID, doc: "User id inside; `keep` is the caller's.", def: "keep", example: "0", flag: "uid"}, at: func(p *Profile) any { return &p.User.UID }},
	{spec: spec{name: "gid", typ: tID, doc: "Group id inside; `keep` is the caller's.", def: "keep", example: "0", flag: "gid"}, at: func(p *Profile) any { return &p.User.GID }},
	{spec: spec{name: "host", typ: tWord, words: hostUserWords, doc: "Id outside: `auto` is the caller's, or an unprivileged one when started by root; `caller` is the caller's even when that is root.", def: "auto", example: "caller", flag: "host-user"}, at: func(p *Profile) any { return &p.User.Host }},
	{spec: spec{name: "ranges", typ: tWord, words: boolWords, doc: "Map the caller's /etc/subuid and /etc/subgid ranges too, through newuidmap(1).", def: "false", example: "true", flag: "ranges"}, at: func(p *Profile) any { return &p.User.Ranges }},
}

var envKeys = []key[Profile]{
	{spec: spec{name: "keep", typ: tEnvPattern, list: true, doc: "Variables that are passed on: names, or a prefix and `*`.", def: "[]", example: `[PATH, "LC_*"]`, flag: "keep-env"}, at: func(p *Profile) any { return &p.Env.Keep }},
	{spec: spec{name: "set", typ: tText, dict: tEnvName, doc: "Variables that are set.", def: "{}", example: `{CI: "true"}`, flag: "env"}, at: func(p *Profile) any { return &p.Env.Set }},
}

var capabilityKeys = []key[Profile]{
	{spec: spec{name: "keep", typ: tCapability, list: true, doc: "Capabilities that the task can have; every other one is dropped.", def: "[]", example: "[NET_BIND_SERVICE]", flag: "cap"}, at: func(p *Profile) any { return &p.Capabilities.Keep }},
	{spec: spec{name: "ambient", typ: tCapability, list: true, doc: "Those of `keep` that are handed to a task that is not root inside.", def: "[]", example: "[NET_BIND_SERVICE]", flag: "ambient-cap"}, at: func(p *Profile) any { return &p.Capabilities.Ambient }},
}

var syscallKeys = []key[Profile]{
	{spec: spec{name: "default", typ: tAction, doc: "What happens to calls that are not allowed: `allow`, `errno(NAME)`, `kill`, `log`.", def: "errno(EPERM)", example: "kill", flag: "syscall-default"}, at: func(p *Profile) any { return &p.Syscalls.Default }},
	{spec: spec{name: "unknown", typ: tAction, doc: "What happens to numbers newer than the table.", def: "errno(ENOSYS)", example: "errno(ENOSYS)", flag: "syscall-unknown"}, at: func(p *Profile) any { return &p.Syscalls.Unknown }},
	{spec: spec{name: "arches", typ: tArch, list: true, doc: "Architectures whose calls are possible, besides the machine's own; a call of any other one kills.", def: "[native]", example: "[native]", flag: "arch"}, at: func(p *Profile) any { return &p.Syscalls.Arches }},
	{spec: spec{name: "allow", typ: tCall, list: true, doc: "Calls, or groups of them, that are allowed.", def: "[]", example: `["@system-service"]`, flag: "allow-syscall"}, at: func(p *Profile) any { return &p.Syscalls.Allow }},
	{spec: spec{name: "deny", typ: tCall, list: true, doc: "Calls, or groups of them, that are not; beats `allow` and `rules`, wherever it was inherited from. Only grows.", def: "[]", example: `["@keyring", ptrace]`, flag: "deny-syscall"}, at: func(p *Profile) any { return &p.Syscalls.Deny }},
	{spec: spec{name: "rules", typ: tRule, list: true, doc: "Conditions on the arguments of a call, or an action for it.", def: "[]", example: `[{socket: "family == AF_UNIX"}]`, flag: "rule"}, at: func(p *Profile) any { return &p.Syscalls.Rules }},
	{spec: spec{name: "exec", typ: tWord, words: execWords, doc: "`once`: the program cannot execute another; execve and execveat are denied as soon as it runs.", def: "any", example: "once", flag: "exec"}, at: func(p *Profile) any { return &p.Syscalls.Exec }},
}

var landlockKeys = []key[Profile]{
	{spec: spec{name: "read", typ: tPath, list: true, doc: "Where files may be read.", def: "derived from the mounts", example: "[/usr, .]", flag: "landlock-read"}, at: func(p *Profile) any { return &p.Landlock.Read }},
	{spec: spec{name: "write", typ: tPath, list: true, doc: "Where files may be written.", def: "derived from the mounts", example: "[., /tmp]", flag: "landlock-write"}, at: func(p *Profile) any { return &p.Landlock.Write }},
	{spec: spec{name: "execute", typ: tPath, list: true, doc: "Where files may be executed.", def: "derived from the mounts", example: "[/usr]", flag: "landlock-execute"}, at: func(p *Profile) any { return &p.Landlock.Execute }},
	{spec: spec{name: "scope", typ: tWord, list: true, words: scopeWords, doc: "What may not reach out of the sandbox; Linux 6.12.", def: "[signal, abstract-unix-socket]", example: "[signal]", flag: "landlock-scope"}, at: func(p *Profile) any { return &p.Landlock.Scope }},
}

var networkKeys = []key[Profile]{
	{spec: spec{name: "allow", typ: tEndpoint, list: true, doc: "Not supported yet.", example: `["proxy.example.org:443"]`, flag: "net-allow"}, at: func(p *Profile) any { return &p.Network.Allow }},
}

var limitKeys = []key[Profile]{
	{spec: spec{name: "memory", typ: tSize, min: minMemory, doc: "Memory of the whole sandbox, the page cache of its files and the kernel's own for it included.", def: "none", example: "2GiB", flag: "memory"}, at: func(p *Profile) any { return &p.Limits.Memory }},
	{spec: spec{name: "memory-high", typ: tSize, min: minMemory, doc: "Memory above which the sandbox is slowed down until it has given some back; cgroup v2.", def: "none", example: "1GiB", flag: "memory-high"}, at: func(p *Profile) any { return &p.Limits.MemoryHigh }},
	{spec: spec{name: "swap", typ: tSize, doc: "Swap of the whole sandbox.", def: "0 with memory, else unlimited", example: "1GiB", flag: "swap"}, at: func(p *Profile) any { return &p.Limits.Swap }},
	{spec: spec{name: "oom-group", typ: tWord, words: boolWords, doc: "Where memory runs out, all processes are killed together; cgroup v2.", def: "false", example: "true", flag: "oom-group"}, at: func(p *Profile) any { return &p.Limits.OOMGroup }},
	{spec: spec{name: "cpus", typ: tNumber, doc: "Processors, as time of them per time.", def: "none", example: "1.5", flag: "cpus"}, at: func(p *Profile) any { return &p.Limits.CPUs }},
	{spec: spec{name: "cpu-weight", typ: tInt, min: 1, max: 10000, doc: "Share of the processors where others want them too, against their 100.", def: "100", example: "50", flag: "cpu-weight"}, at: func(p *Profile) any { return &p.Limits.CPUWeight }},
	{spec: spec{name: "cpuset", typ: tCPUSet, doc: "Numbers of the processors that may be used.", def: "all", example: `"0-3,6"`, flag: "cpuset"}, at: func(p *Profile) any { return &p.Limits.CPUSet }},
	{spec: spec{name: "pids", typ: tInt, min: 1, max: 4194303, doc: "Processes and threads, the sandbox's init aside.", def: "none", example: "512", flag: "pids"}, at: func(p *Profile) any { return &p.Limits.PIDs }},
	{spec: spec{name: "io", typ: tIOMax, dict: tSource, doc: "What is done per second to a disk, named by its device or by a file on it: `rbps` and `wbps` bytes, `riops` and `wiops` operations.", def: "{}", example: `{/dev/sda: "rbps=10MiB wiops=200"}`, flag: "io"}, at: func(p *Profile) any { return &p.Limits.IO }},
	{spec: spec{name: "io-weight", typ: tInt, min: 1, max: 10000, doc: "Share of the disks where others want them too, against their 100.", def: "100", example: "50", flag: "io-weight"}, at: func(p *Profile) any { return &p.Limits.IOWeight }},
	{spec: spec{name: "hugetlb", typ: tSize, dict: tSize, doc: "Huge pages, by their size.", def: "{}", example: "{2MiB: 64MiB}", flag: "hugetlb"}, at: func(p *Profile) any { return &p.Limits.Hugetlb }},
	{spec: spec{name: "cgroup", typ: tCgroup, doc: "Where the sandbox's cgroup is made: `auto`, `systemd`, the name of a slice of it, or a path in the cgroup tree. Given, it is made even where nothing is limited.", def: "auto, where something is limited", example: "/ci/jobs", flag: "cgroup-parent"}, at: func(p *Profile) any { return &p.Limits.Cgroup }},
	{spec: spec{name: "wall", typ: tDuration, doc: "Time until SIGTERM and, after a grace period, SIGKILL.", def: "none", example: "30m", flag: "timeout"}, at: func(p *Profile) any { return &p.Limits.Wall }},
	{spec: spec{name: "cpu-time", typ: tDuration, doc: "Processor time of the whole sandbox; needs the cgroup layer.", def: "none", example: "20m", flag: "cpu-time"}, at: func(p *Profile) any { return &p.Limits.CPUTime }},
	{spec: spec{name: "output", typ: tSize, doc: "Bytes of stdout and stderr together; what comes behind them is cut off, and ends the run. The task then has pipes, which the launcher copies.", def: "none", example: "64MiB", flag: "output"}, at: func(p *Profile) any { return &p.Limits.Output }},
	{spec: spec{name: "rlimits", typ: tRlimit, dict: tRlimitName, doc: "getrlimit(2) of every process, soft and hard alike: a number, a size, seconds for cpu, or `unlimited`. `core: 0` is set as 1 byte: a program that core_pattern names gets dumps whatever the limit is, but for 1.", def: "{}", example: "{nofile: 4096, core: 0}", flag: "rlimit"}, at: func(p *Profile) any { return &p.Limits.Rlimits }},
}

var processKeys = []key[Profile]{
	{spec: spec{name: "workdir", typ: tPath, doc: "Working directory inside.", def: "the caller's where it exists inside, else /", example: "/src", flag: "workdir"}, at: func(p *Profile) any { return &p.Process.Workdir }},
	{spec: spec{name: "umask", typ: tPerm, doc: "umask(2), octal, quoted.", def: "the caller's", example: `"0022"`, flag: "umask"}, at: func(p *Profile) any { return &p.Process.Umask }},
	{spec: spec{name: "nice", typ: tInt, min: -20, max: 19, doc: "setpriority(2).", def: "the caller's", example: "10", flag: "nice"}, at: func(p *Profile) any { return &p.Process.Nice }},
	{spec: spec{name: "oom-score-adj", typ: tInt, min: -1000, max: 1000, doc: "/proc/PID/oom_score_adj.", def: "the caller's", example: "500", flag: "oom-score-adj"}, at: func(p *Profile) any { return &p.Process.OOMScoreAdj }},
}
