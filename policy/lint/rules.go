package lint

import (
	"slices"
	"strconv"
	"strings"

	"cordon/policy"
)

// rules is sorted by code. The first rule is about the comments that ignore findings.
var rules = [...]Rule{
	{Code: "CL000", Name: "bad-ignore", Level: LevelWarning,
		About: "a lint:ignore comment that has no effect",
		Why:   "It has no reason or an unknown code, so the finding that it was meant for is reported all the same.",
		Fix:   "write # lint:ignore CODE REASON on the line of the finding or on the line above",
		find:  func(*linter) {}},
	{Code: "CL001", Name: "default-allow", Level: LevelError,
		About: "system calls that the profile does not name are allowed",
		Why:   "A list of forbidden calls misses the calls of the next kernel, and those that its author forgot.",
		Fix:   "syscalls: {default: errno(EPERM)}, and allow the calls that the program needs, such as \"@system-service\"",
		find:  func(l *linter) { l.defaultAllow() }},
	{Code: "CL002", Name: "unknown-allow", Level: LevelError,
		About: "system calls that cordon does not know are allowed",
		Why:   "Nobody has checked what a call that is newer than cordon's table can do.",
		Fix:   "syscalls: {unknown: errno(ENOSYS)}, so that libc uses another call",
		find:  func(l *linter) { l.unknownAllow() }},
	{Code: "CL003", Name: "foreign-arch", Level: LevelWarning,
		About: "system calls of another architecture are allowed",
		Why:   "i386 and x32 calls reach kernel code that is used and tested less, and rules on arguments were written for the native calls.",
		Fix:   "leave arches out, unless you run 32-bit programs",
		find:  func(l *linter) { l.arches() }},
	{Code: "CL004", Name: "kernel-surface", Level: LevelError,
		About: "system calls with a history of kernel exploits are allowed",
		Why:   "bpf, io_uring, userfaultfd, perf events and the keyring were part of most kernel exploits of recent years, and few programs need them.",
		Fix:   "syscalls: {deny: [bpf, io_uring_setup, userfaultfd, perf_event_open, \"@keyring\"]}",
		find: func(l *linter) {
			l.calls("bpf io_uring_setup io_uring_enter io_uring_register userfaultfd perf_event_open keyctl add_key request_key")
		}},
	{Code: "CL005", Name: "other-processes", Level: LevelWarning,
		About: "system calls that read or control other processes are allowed",
		Why:   "One program of the sandbox can then act through another: it gets round a stricter filter of its own, and reads the secrets of the other.",
		Fix:   "syscalls: {deny: [ptrace, process_vm_readv, process_vm_writev, pidfd_getfd]}",
		find: func(l *linter) {
			l.calls("ptrace process_vm_readv process_vm_writev pidfd_getfd process_madvise kcmp")
		}},
	{Code: "CL006", Name: "mounts-and-namespaces", Level: LevelError,
		About: "system calls that change mounts or join namespaces are allowed",
		Why:   "In a user namespace of its own, a program gets the capabilities for these calls, and so reaches most of the kernel.",
		Fix:   "syscalls: {deny: [\"@mount\", setns, unshare]}",
		find: func(l *linter) {
			l.calls("mount umount2 pivot_root open_tree move_mount fsopen fsmount fspick mount_setattr setns unshare(CLONE_NEWUSER) open_by_handle_at")
		}},
	{Code: "CL007", Name: "machine", Level: LevelError,
		About: "system calls that change the machine are allowed",
		Why:   "These calls load modules, reboot, swap, set the clock or access devices. Only a missing capability then stops the program.",
		Fix:   "syscalls: {deny: [\"@module\", \"@reboot\", \"@swap\", \"@raw-io\", clock_settime]}",
		find: func(l *linter) {
			l.calls("init_module finit_module delete_module kexec_load kexec_file_load reboot swapon swapoff iopl ioperm settimeofday clock_settime acct quotactl")
		}},
	{Code: "CL008", Name: "socket-families", Level: LevelWarning,
		About: "the program can create sockets of every family",
		Why:   "AF_ALG, AF_PACKET, AF_VSOCK and others reach kernel code that is rarely tested, and AF_VSOCK reaches the hypervisor.",
		Fix:   "syscalls: {rules: [{socket: \"in(family, AF_UNIX, AF_INET, AF_INET6)\"}]}",
		find:  func(l *linter) { l.families() }},
	{Code: "CL009", Name: "terminal-injection", Level: LevelError,
		About: "the program can type into the terminal",
		Why:   "TIOCSTI and TIOCLINUX put characters into the terminal's input, and the shell outside executes them (CVE-2017-5226, CVE-2019-10063).",
		Fix:   "syscalls: {rules: [{ioctl: \"uint32(cmd) != TIOCSTI && uint32(cmd) != TIOCLINUX\"}]}",
		find: func(l *linter) {
			l.calls("ioctl(_,TIOCSTI) ioctl(_,TIOCLINUX)")
		}},
	{Code: "CL010", Name: "new-user-namespace", Level: LevelError,
		About: "the program can create a user namespace",
		Why:   "In a user namespace it has every capability, and reaches parts of the kernel that otherwise only root reaches.",
		Fix:   "syscalls: {rules: [{clone: flags & CLONE_NEW_ANY == 0}, {clone3: errno(ENOSYS)}]}, because no filter can read clone3's flags",
		find: func(l *linter) {
			l.calls("clone(CLONE_NEWUSER) clone3")
		}},
	{Code: "CL011", Name: "network-with-capabilities", Level: LevelError,
		About: "the profile combines the host's network with network capabilities",
		Why:   "In the host's network namespace, NET_ADMIN and NET_RAW reach the machine's own traffic. Only the separate user namespace prevents this.",
		Fix:   "network: none, or capabilities: {remove: [NET_ADMIN, NET_RAW]}",
		find:  func(l *linter) { l.networkCapabilities() }},
	{Code: "CL012", Name: "host-network", Level: LevelNote,
		About: "the program uses the host's network",
		Why:   "It can reach services that listen only on localhost, and everything else that the machine can reach.",
		Fix:   "network: none, if the program can work without a network",
		find:  func(l *linter) { l.hostNetwork() }},
	{Code: "CL013", Name: "dangerous-capability", Level: LevelError,
		About: "the profile keeps a capability that is as good as root",
		Why:   "A program that gets out of one layer with this capability gets out of all. In a separate user namespace it still opens more kernel code to the program.",
		Fix:   "capabilities: {remove: [NAME]}, and find another way for the program to do its work",
		find:  func(l *linter) { l.capabilities() }},
	{Code: "CL014", Name: "host-namespace", Level: LevelWarning,
		About: "the program shares a namespace with the host",
		Why:   "It can then reach processes, message queues, mounts or ids of the host.",
		Fix:   "leave the namespace out, because every namespace is new by default",
		find:  func(l *linter) { l.hostNamespaces() }},
	{Code: "CL015", Name: "loader-variables", Level: LevelWarning,
		About: "the profile keeps or sets variables that load code",
		Why:   "LD_PRELOAD and similar variables decide what runs in every program of the sandbox. So the code is chosen by whoever sets your environment, or can write the file that the profile names.",
		Fix:   "list the variables of env.keep by name, without these, and do not set these in env.set",
		find:  func(l *linter) { l.variables(LoaderVariables, "chooses code that is loaded") }},
	{Code: "CL016", Name: "secret-variables", Level: LevelWarning,
		About: "the profile keeps or sets variables that contain secrets",
		Why:   "The program, and everything that it starts, can read a token in the environment.",
		Fix:   "leave the variable out of env.keep, or give the program a file for the secret",
		find:  func(l *linter) { l.secretVariables() }},
	{Code: "CL017", Name: "no-limits", Level: LevelWarning,
		About: "memory, processes and time are not limited",
		Why:   "A program that gets out of control can make the whole machine unusable.",
		Fix:   "limits: {memory: 2GiB, pids: 512, wall: 30m}",
		find:  func(l *linter) { l.noLimits() }},
	{Code: "CL018", Name: "terminal", Level: LevelNote,
		About: "the program gets your terminal",
		Why:   "It can read what you type, change the terminal's modes, and write escape sequences that the terminal obeys.",
		Fix:   "tty: none, or broker",
		find:  func(l *linter) { l.terminal() }},
	{Code: "CL019", Name: "landlock-off", Level: LevelWarning,
		About: "Landlock is switched off",
		Why:   "Then only the mounts protect files, and only namespaces hold back signals and connections to abstract sockets.",
		Fix:   "leave landlock out; cordon derives its rules from the mounts",
		find:  func(l *linter) { l.landlockOff() }},
	{Code: "CL020", Name: "may-be-missing", Level: LevelNote,
		About: "a layer may be missing",
		Why:   "On a host that lacks the layer, the sandbox starts without it, and only the report says so.",
		Fix:   "missing: [], so that cordon refuses to run there",
		find:  func(l *linter) { l.missing() }},
	{Code: "CL021", Name: "host-socket", Level: LevelError,
		About: "the program can reach a socket of the host that gives it more rights",
		Why:   "A read-only mount does not help, because connecting writes to nothing.",
		Fix:   "hide the socket, or mount less",
		find:  func(l *linter) { l.hostSockets() }},
	{Code: "CL022", Name: "writable-programs", Level: LevelError,
		About: "the program can write places from which programs run outside",
		Why:   "Somebody outside of the sandbox runs what the program writes there: a shell, an editor, a service, or the machine when it starts.",
		Fix:   "bind only the directory that the program needs",
		find:  func(l *linter) { l.writablePlaces() }},
	{Code: "CL023", Name: "git-hooks", Level: LevelWarning,
		About: "the working directory is writable, including .git/hooks",
		Why:   "git runs hooks outside of the sandbox at the next commit, and .git/config can name programs too.",
		Fix:   "hide: [\"**/.git/hooks\", \"**/.git/config\"]",
		find:  func(l *linter) { l.gitHooks() }},
	{Code: "CL024", Name: "keys", Level: LevelError,
		About: "the program can read keys and credentials",
		Why:   "They give access to more than this machine.",
		Fix:   "hide the files, or mount less; the profile default has a list",
		find:  func(l *linter) { l.paths(keyPaths, false, "can be read") }},
	{Code: "CL025", Name: "idle-hide", Level: LevelNote,
		About: "a hide rule hides nothing",
		Why:   "No mount shows the path, so the rule has a spelling mistake or is not needed.",
		Fix:   "correct the path; or keep the rule as a precaution, and ignore this finding with a reason",
		find:  func(l *linter) { l.idleHides() }},
	{Code: "CL026", Name: "no-effect", Level: LevelWarning,
		About: "a rule or a mount has no effect, or nothing can start under the filter",
		Why:   "The line suggests something that is not true, or the filter lacks a call that every program needs.",
		Fix:   "remove the line, or put it where it has an effect; allow missing calls with syscalls.allow: [\"@default\", execve]",
		find:  func(l *linter) { l.noEffect() }},
	{Code: "CL027", Name: "caller-user", Level: LevelWarning,
		About: "the task has the caller's id on the host",
		Why:   "If root starts it, the task is root outside of its namespaces, and may do everything that the namespaces let through.",
		Fix:   "leave user.host out",
		find:  func(l *linter) { l.callerUser() }},
	{Code: "CL028", Name: "proc-unmasked", Level: LevelWarning,
		About: "/proc has no masks, or shows the host's processes",
		Why:   "Without masks the program reaches /proc/sys, /proc/kcore and /proc/keys. With the host's pid namespace it sees every process and its environment.",
		Fix:   "leave mask and read-only out; with pid: host use hidepid: invisible",
		find:  func(l *linter) { l.proc() }},
	{Code: "CL029", Name: "shared-temporary", Level: LevelWarning,
		About: "the host's directory for temporary files is writable",
		Why:   "It contains files of other users and programs, whose names the program can guess, and which it can replace at the right moment.",
		Fix:   "{tmpfs: /tmp}",
		find:  func(l *linter) { l.paths([]string{"/tmp", "/var/tmp", "/dev/shm"}, true, "can be written") }},
	{Code: "CL030", Name: "host-devices", Level: LevelError,
		About: "the program can see devices of the host",
		Why:   "Access to a disk, the memory or an input device is access to the host. Only the mount option nodev keeps the program from opening them.",
		Fix:   "use {dev: /dev}, which has the devices that every program needs",
		find:  func(l *linter) { l.hostDevices() }},
	{Code: "CL031", Name: "project-programs", Level: LevelNote,
		About: "the working directory is writable, including files that editors, shells and tools outside run",
		Why:   "An editor that opens the project, or a shell that enters it, does what these files say.",
		Fix:   "put {bind: ./.vscode, optional: true} and similar mounts after the bind, or check these files before you use them",
		find:  func(l *linter) { l.projectPrograms() }},
	{Code: "CL032", Name: "lifted-hide", Level: LevelWarning,
		About: "the profile lifts an inherited hide rule",
		Why:   "The program can read what the rule hid, and with the host's network it can send it away.",
		Fix:   "lift only what the program needs: a file, not its whole directory",
		find: func(l *linter) {
			for _, h := range l.p.Lifted {
				l.say(h.Pos, "hide: "+h.Pattern+" is shown")
			}
		}},
	{Code: "CL033", Name: "own-profile", Level: LevelNote,
		About: "the profile makes its own file, or a directory in which cordon looks for profiles, writable",
		Why:   "The file is read-only in its own runs. But another sandbox that writes there can change it, and then you must trust it again before the next use.",
		Fix:   "keep profiles where no sandbox writes, such as ~/.config/cordon/profiles",
		find:  func(l *linter) { l.ownProfile() }},
	{Code: "CL034", Name: "unix-pairs", Level: LevelWarning,
		About: "the profile denies local sockets, but allows pairs of datagram sockets",
		Why:   "Each AF_UNIX datagram socket of a pair can send to every other address, including the sockets that the rule on socket is meant to protect.",
		Fix:   "syscalls: {rules: [{socketpair: \"in(type & 0xf, SOCK_STREAM, SOCK_SEQPACKET)\"}]}",
		find:  func(l *linter) { l.datagramPairs() }},
	{Code: "CL035", Name: "core-dumps", Level: LevelWarning,
		About: "programs leave core dumps",
		Why:   "The kernel passes a dump to the host's handler, which runs outside and often as root. The handler stores what the program had in memory.",
		Fix:   "limits: {rlimits: {core: 0}}",
		find:  func(l *linter) { l.coreDumps() }},
	{Code: "CL036", Name: "open-umask", Level: LevelWarning,
		About: "files that the program creates on the host are writable by everybody",
		Why:   "Another user can put into such a file what a program outside reads or runs later.",
		Fix:   "process: {umask: \"0022\"}",
		find:  func(l *linter) { l.openUmask() }},
	{Code: "CL037", Name: "overlaid-caches", Level: LevelNote,
		About: "the program reads your own caches of compilers and package managers",
		Why:   "They hold code of your other projects. And go changes the times of what it uses, so that an overlay copies it at each run.",
		Fix:   "cache: project",
		find:  func(l *linter) { l.overlaidCaches() }},
	{Code: "CL038", Name: "wide-network", Level: LevelWarning,
		About: "an item of network.allow covers hosts of strangers",
		Why:   "Anybody can have a name below a top-level domain or a hosting service, or an address in a wide range, and receive what the program sends.",
		Fix:   "name the hosts: network: {allow: [\"*.example.org:443\"]}",
		find:  func(l *linter) { l.wideNetwork() }},
	{Code: "CL039", Name: "metadata-service", Level: LevelError,
		About: "the program can ask a cloud about the machine",
		Why:   "The metadata service of a cloud gives whoever asks the machine's credentials.",
		Fix:   "leave the range out, or network: {deny: [\"169.254.169.254\"]}",
		find:  func(l *linter) { l.metadata() }},
	{Code: "CL040", Name: "published-to-all", Level: LevelWarning,
		About: "a port of the sandbox is published on every address of the host",
		Why:   "Everybody who reaches the machine reaches the program, past a firewall that only guards what the host itself serves.",
		Fix:   "name the address: network: {publish: [\"127.0.0.1:8080:8000\"]}",
		find:  func(l *linter) { l.publishedToAll() }},
}

func (l *linter) defaultAllow() {
	if l.spec.Default.Passes() {
		l.say(l.p.Source("syscalls.default"), "syscalls.default: every call that is not denied can be called")
	}
}

func (l *linter) unknownAllow() {
	if l.spec.Unknown.Passes() {
		l.say(l.p.Source("syscalls.unknown"), "syscalls.unknown: calls that no table knows can be called")
	}
}

func (l *linter) arches() {
	for _, a := range l.spec.Foreign {
		if a != l.arch {
			l.say(l.p.Source("syscalls.arches"), "syscalls.arches: calls of "+a.String()+" are possible")
		}
	}
}

func (l *linter) networkCapabilities() {
	if l.p.Network.Mode != policy.NetworkHost && l.p.Namespaces.Net.Mode != policy.NSHost {
		return
	}
	for _, c := range l.p.Capabilities.Keep {
		if c.Name == "NET_ADMIN" || c.Name == "NET_RAW" {
			l.say(c.Pos, "capabilities: "+c.Name+" is kept in the host's network")
		}
	}
}

// asRoot lists capabilities that lead to all others, by capabilities(7). They give control over mounts and most of the
// kernel, modules, the memory of other processes, every file, devices, tracing, or the kernel's log and clock.
var asRoot = []string{"SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO", "DAC_READ_SEARCH", "BPF", "PERFMON", "SYS_BOOT", "SYS_TIME", "MKNOD", "MAC_ADMIN", "MAC_OVERRIDE", "CHECKPOINT_RESTORE", "SYSLOG"}

// LeadsToRoot reports whether a capability gives as much as all others together: rule CL013.
func LeadsToRoot(name string) bool { return slices.Contains(asRoot, name) }

func (l *linter) capabilities() {
	for _, c := range l.p.Capabilities.Keep {
		if LeadsToRoot(c.Name) {
			l.say(c.Pos, "capabilities: "+c.Name+" is kept")
		}
	}
}

func (l *linter) hostNamespaces() {
	n := &l.p.Namespaces
	if n.None {
		l.say(l.p.Source("namespaces"), "namespaces: none: the program runs in the host's")
	}
	for _, x := range [...]struct {
		name string
		ns   *policy.Namespace
	}{{"user", &n.User}, {"mount", &n.Mount}, {"pid", &n.PID}, {"ipc", &n.IPC}, {"uts", &n.UTS}, {"cgroup", &n.Cgroup}, {"net", &n.Net}} {
		if x.ns.Mode == policy.NSHost {
			l.say(l.p.Source("namespaces."+x.name), "namespaces."+x.name+": it is the host's")
		}
	}
}

// datagramPairs finds a filter that denies local sockets, but allows socketpair(2) with a type whose sockets can reach
// all other local sockets.
func (l *linter) datagramPairs() {
	if _, yes := l.passes("socket(AF_UNIX)"); yes {
		return
	}
	for _, typ := range []string{"SOCK_DGRAM", "SOCK_RAW", "SOCK_DGRAM|SOCK_CLOEXEC", "SOCK_RAW|SOCK_CLOEXEC"} {
		if at, yes := l.passes("socketpair(AF_UNIX, " + typ + ")"); yes {
			l.say(at, "syscalls: socketpair can be called with AF_UNIX and "+typ+", and socket not with AF_UNIX")
			return
		}
	}
}

func (l *linter) coreDumps() {
	for _, r := range l.p.Limits.Rlimits {
		if r.Name == "core" && r.Value > 1 {
			l.say(r.Pos, "limits.rlimits.core: it is not 0")
		}
	}
}

func (l *linter) openUmask() {
	const others = 0o002 // the bit of a umask that keeps other users from writing
	if umask := l.p.Process.Umask; umask.Set && umask.V&others == 0 && len(l.writings()) > 0 {
		l.say(l.p.Source("process.umask"), "process.umask: others can write new files")
	}
}

func (l *linter) noLimits() {
	m := &l.p.Limits
	if m.Memory.Set || m.PIDs.Set || m.Wall.Set || m.CPUTime.Set || slices.ContainsFunc(m.Rlimits, func(r policy.Rlimit) bool {
		return slices.Contains([]string{"as", "data", "nproc", "cpu"}, r.Name) && r.Value != policy.Unlimited
	}) {
		return
	}
	l.say(policy.Pos{}, "limits: there is none on memory, processes or time")
}

func (l *linter) terminal() {
	if l.p.TTY == policy.TTYInherit {
		l.say(l.p.Source("tty"), "tty: the caller's terminal is passed through")
	}
}

func (l *linter) landlockOff() {
	if l.p.Landlock.Off {
		l.say(l.p.Source("landlock"), "landlock: it is off")
	}
}

func (l *linter) missing() {
	for _, m := range l.p.Missing {
		what := "the layer " + string(m.Layer)
		if m.Layer == policy.MissingLandlockRights {
			what = "a right or scope of Landlock"
		}
		l.say(m.Pos, "missing: "+what+" may be missing")
	}
}

func (l *linter) hostSockets() {
	for _, e := range Exposures(l.p, l.opts.RuntimeDir) {
		l.say(e.Pos, e.String())
	}
}

// keyPaths lists where keys and credentials usually are.
var keyPaths = []string{"~/.ssh", "~/.gnupg", "~/.aws", "~/.azure", "~/.kube", "~/.docker", "~/.netrc", "~/.npmrc", "~/.pypirc", "~/.git-credentials",
	"~/.password-store", "~/.config/gh", "~/.config/gcloud", "~/.local/share/keyrings", "~/.cargo/credentials.toml", "/etc/shadow", "/etc/gshadow"}

func (l *linter) gitHooks() {
	if l.p.Git == policy.GitProtect {
		return
	}
	for i := range l.p.Mounts {
		m := &l.p.Mounts[i]
		if m.Kind != policy.MountBind || !m.Write || m.Source != "." && m.Source != "~" {
			continue
		}
		hidden := func(name string) bool {
			return slices.ContainsFunc(l.p.Hide, func(h policy.Hide) bool {
				return h.Pattern == "**/.git" || h.Pattern == "**/.git/"+name || h.Pattern == "**/"+name
			})
		}
		if !hidden("hooks") {
			l.say(m.Pos, mountAt(i)+": "+m.Source+" can be written, and .git/hooks in it")
		}
	}
}

// idleHides finds hide rules for paths that no mount shows.
func (l *linter) idleHides() {
	if l.p.Root.Kind != policy.RootEmpty {
		return // the root may show the path
	}
	relative := slices.ContainsFunc(l.p.Mounts, func(m policy.Mount) bool {
		return (m.Kind == policy.MountBind || m.Kind == policy.MountOverlay) && !strings.HasPrefix(m.Source, "/")
	})
	for i, h := range l.p.Hide {
		hidden := hostNames(h.Pattern, l.opts.RuntimeDir)
		if relative || hidden == nil {
			continue
		}
		shown := slices.ContainsFunc(l.p.Mounts, func(m policy.Mount) bool {
			place := hostNames(m.Place(), l.opts.RuntimeDir)
			empty := m.Kind == policy.MountTmpfs || m.Kind == policy.MountEmpty || m.Kind == policy.MountDir
			return place != nil && !empty && (above(place, hidden) || above(hidden, place))
		})
		if !shown {
			l.say(h.Pos, "hide["+strconv.Itoa(i)+"]: nothing shows "+h.Pattern)
		}
	}
}

func (l *linter) noEffect() {
	for _, w := range l.warnings {
		// Report a warning about an inherited line only for the profile that has the line. A profile inherits lines in
		// order to narrow them.
		if at := l.placeOf(w.From); at.File == l.opts.File || at.File == "" || at.File == policy.CommandLine {
			l.say(at, "syscalls: "+w.Msg)
		}
	}
	l.coveredMounts()
}

func (l *linter) callerUser() {
	if l.p.User.Host == policy.HostCaller {
		l.say(l.p.Source("user.host"), "user.host: the task has the caller's id outside")
	}
}

func (l *linter) proc() {
	for i := range l.p.Mounts {
		m := &l.p.Mounts[i]
		if m.Kind != policy.MountProc {
			continue
		}
		switch masked, readOnly := m.ProcParts(l.p.BareProc()); {
		case len(masked) > 0 && len(readOnly) > 0:
		case l.p.BareProc():
			l.say(l.p.Source("nest"), mountAt(i)+": with nest proc has no masks")
		default:
			l.say(m.Pos, mountAt(i)+": proc has no masks")
		}
		if l.p.Namespaces.PID.Mode == policy.NSHost && m.Hidepid != "invisible" && m.Hidepid != "ptraceable" {
			l.say(m.Pos, mountAt(i)+": proc shows the host's processes")
		}
	}
}
