package plan

// Call is a system call. A plan has the call's name and not its number, so that the plan is the same on every
// architecture.
type Call uint8

// These are the calls that a plan may use. Fork is clone(2): the child becomes the task, and the caller becomes init.
// Respawn is clone(2) too: the child continues with the plan, and the caller ends.
const (
	NoCall Call = iota
	Fork
	Respawn
	Capset
	Chdir
	Chroot
	Close
	CloseRange
	Dup3
	Execve
	Fchdir
	Fsconfig
	Fsmount
	Fsopen
	IoctlCall
	Keyctl
	LandlockAddRule
	LandlockCreateRuleset
	LandlockRestrictSelf
	Mkdirat
	Mknodat
	MountSetattr
	MoveMount
	Openat
	Openat2
	OpenTree
	OpenTreeAttr
	PivotRoot
	Prctl
	Prlimit
	Read
	Recvfrom
	RtSigprocmask
	Seccomp
	Sendto
	Setdomainname
	Setgroups
	Sethostname
	Setns
	Setpriority
	Setresgid
	Setresuid
	Setsid
	SocketCall
	Symlinkat
	Umask
	Umount2
	Unshare
	Write
	Recvmsg
	Execveat
	Futex
	Sendmsg
	SetRobustList
	Setpgid
	Setsockopt
	Bind
	Listen
	Kill
	NumCalls
)

var callNames = [NumCalls]string{
	Fork: "clone", Respawn: "clone", Capset: "capset", Chdir: "chdir", Chroot: "chroot", Close: "close", CloseRange: "close_range", Dup3: "dup3",
	Execve: "execve", Fchdir: "fchdir", Fsconfig: "fsconfig", Fsmount: "fsmount", Fsopen: "fsopen", IoctlCall: "ioctl",
	Keyctl: "keyctl", LandlockAddRule: "landlock_add_rule", LandlockCreateRuleset: "landlock_create_ruleset",
	LandlockRestrictSelf: "landlock_restrict_self", Mkdirat: "mkdirat", Mknodat: "mknodat", MountSetattr: "mount_setattr",
	MoveMount: "move_mount", Openat: "openat", Openat2: "openat2", OpenTree: "open_tree", OpenTreeAttr: "open_tree_attr", PivotRoot: "pivot_root", Prctl: "prctl",
	Prlimit: "prlimit64", Read: "read", Recvfrom: "recvfrom", RtSigprocmask: "rt_sigprocmask", Seccomp: "seccomp", Sendto: "sendto",
	Setdomainname: "setdomainname", Setgroups: "setgroups", Sethostname: "sethostname", Setns: "setns", Setpriority: "setpriority",
	Setresgid: "setresgid", Setresuid: "setresuid", Setsid: "setsid", SocketCall: "socket", Symlinkat: "symlinkat", Umask: "umask",
	Umount2: "umount2", Unshare: "unshare", Write: "write",
	Recvmsg: "recvmsg", Execveat: "execveat", Futex: "futex", Sendmsg: "sendmsg", SetRobustList: "set_robust_list",
	Setpgid: "setpgid", Setsockopt: "setsockopt", Bind: "bind", Listen: "listen", Kill: "kill",
}

func (c Call) String() string { return callNames[c] }

// Into returns the step with r as the register (descriptor slot) that gets its result.
func (s Step) Into(r Reg) Step { s.To = r; return s }

// OrElse returns the step with an error that is tolerated as if the call had succeeded. A step has at most two such
// errors, each with a number of at most 255. An error of 0 changes nothing.
func (s Step) OrElse(e Errno) Step {
	if e != 0 {
		s.Or = s.Or<<8 | e
	}
	return s
}

// CWD is AT_FDCWD as an argument.
var CWD = Arg{Kind: AtFDCWD}

// AtFDCWD is a Kind of its own, so that a plan is printed with this name.
const AtFDCWD = Kind(200)

// R returns an argument that is the value of a register, which holds an earlier step's result.
func R(r Reg) Arg { return Arg{Kind: Register, Reg: r} }

// F returns the descriptor of a file that the launcher opened, as an argument.
func F(name string) Arg { return Arg{Kind: FD, Data: name} }

func num(k Kind, v uint64) Arg    { return Arg{Kind: k, Int: v} }
func mem(k Kind, data string) Arg { return Arg{Kind: k, Data: data} }
func path(p string) Arg           { return Arg{Kind: Path, Data: p} }
func le64(b []byte, v uint64) []byte {
	return append(b, byte(v), byte(v>>8), byte(v>>16), byte(v>>24), byte(v>>32), byte(v>>40), byte(v>>48), byte(v>>56))
}
func le32(b []byte, v uint32) []byte { return append(b, byte(v), byte(v>>8), byte(v>>16), byte(v>>24)) }

func step(c Call, args ...Arg) Step {
	s := Step{Call: c, N: uint8(len(args))}
	copy(s.Args[:], args)
	return s
}

// ForkStep returns a step that makes a process. The new process, the task, executes the steps that follow. The old
// process executes Plan.Init, and then only reaps. Both share a descriptor table until one of them gets a table of its
// own.
func ForkStep() Step { return step(Fork, num(CloneFlags, cloneFiles)) }

// Apart returns a Fork step whose two processes have separate descriptor tables from the beginning.
func (s Step) Apart() Step { s.Args[0].Int &^= cloneFiles; return s }

// OwnedFork returns the step of ForkStep, which also stores the task's pid, as both processes see it, in the owner word
// of the shared page. get_robust_list(2) describes such a word as the owner of a futex.
func OwnedFork() Step {
	return step(Fork, num(CloneFlags, cloneFiles|cloneParentSetTID), Arg{Kind: Null}, Arg{Kind: Owner})
}

// First makes a Fork step also give the task a pid namespace of its own, below the pid namespace of the old process.
// The task is pid 1 there. The words of the page that hold the task's pid hold 1 from the beginning, because the old
// process sees another pid.
func (s Step) First() Step {
	return step(Fork, num(CloneFlags, s.Args[0].Int&^(cloneParentSetTID|cloneChildSetTID)|CloneNewPID))
}

// CloneNewPID is CLONE_NEWPID.
const CloneNewPID = 0x20000000

// WithSelf makes a Fork step also store the task's pid, as the task sees it, in another word of the page. The owner
// word cannot be used for this, because it is a futex whose value changes.
func (s Step) WithSelf() Step {
	s.N, s.Args[0].Int, s.Args[3] = 4, s.Args[0].Int|cloneChildSetTID, Arg{Kind: Self}
	for i := 1; i < 3; i++ {
		if s.Args[i].Kind == Int {
			s.Args[i].Kind = Null
		}
	}
	return s
}

// RespawnStep returns a step that makes a process as a child of the launcher. The new process continues with the steps
// that follow, and the old process ends. This is needed because a process that enters a pid namespace enters it only
// for its children (pid_namespaces(7)). The kernel stores the new pid in the page that is shared with the launcher.
func RespawnStep() Step { return step(Respawn, num(CloneFlags, cloneParent|cloneParentSetTID)) }

const (
	cloneFiles        = 0x400    // CLONE_FILES
	cloneParent       = 0x8000   // CLONE_PARENT
	cloneParentSetTID = 0x100000 // CLONE_PARENT_SETTID
	cloneChildSetTID  = 0x1000000
)

// --- files and directories

// OpenStep returns a step that calls openat(2).
func OpenStep(dir Arg, p string, flags, mode uint64) Step {
	s := step(Openat, dir, path(p), num(OpenMode, flags), num(Octal, mode))
	if flags&oCreat == 0 {
		s.N = 3
	}
	return s
}

// Open2 returns a step that calls openat2(2), since Linux 5.6.
func Open2(dir Arg, p string, flags, resolve uint64) Step {
	how := le64(le64(le64(make([]byte, 0, 24), flags), 0), resolve)
	return step(Openat2, dir, path(p), mem(OpenHow, string(how)), num(Int, 24))
}

// CloseStep returns a step that calls close(2).
func CloseStep(fd Arg) Step { return step(Close, fd) }

// CloseFrom returns a step that calls close_range(2) for all descriptors from first on, since Linux 5.9.
func CloseFrom(first uint64, flags uint64) Step {
	return step(CloseRange, num(Int, first), num(Int, 0xffffffff), num(CloseRangeFlags, flags))
}

// Dup returns a step that calls dup3(2).
func Dup(old, to Arg, flags uint64) Step { return step(Dup3, old, to, num(DupFlags, flags)) }

// Number returns a plain number as an argument.
func Number(v uint64) Arg { return num(Int, v) }

// WriteStep returns a step that calls write(2).
func WriteStep(fd Arg, text string) Step {
	return step(Write, fd, mem(Text, text), num(Int, uint64(len(text))))
}

// ReadStep returns a step that calls read(2) into a buffer that nobody reads.
func ReadStep(fd Arg, n uint64) Step { return step(Read, fd, num(Out, n), num(Int, n)) }

// WipeArgs returns a step that overwrites the child's copy of the launcher's arguments with zeros.
func WipeArgs(zero Arg) Step { return step(Read, zero, Arg{Kind: Argv}, Arg{Kind: ArgvLen}) }

// MkdirStep returns a step that calls mkdirat(2).
func MkdirStep(dir Arg, p string, mode uint64) Step {
	return step(Mkdirat, dir, path(p), num(Octal, mode))
}

// MkfileStep returns a step that makes an empty regular file, by mknodat(2).
func MkfileStep(dir Arg, p string, mode uint64) Step {
	return step(Mknodat, dir, path(p), num(FileMode, 0o100000|mode), num(Int, 0))
}

// MkcharStep returns a step that makes a character device, by mknodat(2).
func MkcharStep(dir Arg, p string, device uint64) Step {
	return step(Mknodat, dir, path(p), num(FileMode, 0o020000), num(Int, device))
}

// SymlinkStep returns a step that calls symlinkat(2).
func SymlinkStep(text string, dir Arg, p string) Step {
	return step(Symlinkat, path(text), dir, path(p))
}

// ChdirStep returns a step that calls chdir(2).
func ChdirStep(p string) Step { return step(Chdir, path(p)) }

// FchdirStep returns a step that calls fchdir(2).
func FchdirStep(fd Arg) Step { return step(Fchdir, fd) }

// ChrootStep returns a step that calls chroot(2).
func ChrootStep(p string) Step { return step(Chroot, path(p)) }

// UmaskStep returns a step that calls umask(2).
func UmaskStep(mask uint64) Step { return step(Umask, num(Octal, mask)) }

// SetUmask returns a step that calls umask(2) with the value of a register.
func SetUmask(mask Arg) Step { return step(Umask, mask) }

// --- mounts

// Clone returns a step that calls open_tree(2), since Linux 5.2.
func Clone(dir Arg, p string, flags uint64) Step {
	return step(OpenTree, dir, path(p), num(OpenTreeFlags, flags))
}

// Setattr returns a step that calls mount_setattr(2), since Linux 5.12. propagation is 0 or MS_PRIVATE.
func Setattr(dir Arg, p string, flags, set, clr, propagation uint64) Step {
	return step(MountSetattr, dir, path(p), num(AtFlags, flags), mountAttr(set, clr, propagation), num(Int, 32))
}

// CloneWith returns a step that calls open_tree_attr(2), since Linux 6.15, which does the work of Clone and Setattr.
func CloneWith(dir Arg, p string, flags, set, propagation uint64) Step {
	return step(OpenTreeAttr, dir, path(p), num(OpenTreeFlags, flags), mountAttr(set, 0, propagation), num(Int, 32))
}

func mountAttr(set, clr, propagation uint64) Arg {
	return mem(MountAttr, string(le64(le64(le64(le64(make([]byte, 0, 32), set), clr), propagation), 0)))
}

// Move returns a step that calls move_mount(2), since Linux 5.2.
func Move(from Arg, dir Arg, p string, flags uint64) Step {
	return step(MoveMount, from, path(""), dir, path(p), num(MoveMountFlags, flags))
}

// FsopenStep returns a step that calls fsopen(2) with FSOPEN_CLOEXEC.
func FsopenStep(fs string) Step { return step(Fsopen, path(fs), num(FsopenFlags, 1)) }

// FsString returns a step that calls fsconfig(2) with FSCONFIG_SET_STRING.
func FsString(fs Arg, key, value string) Step {
	return step(Fsconfig, fs, num(FsconfigCmd, 1), path(key), path(value), num(Int, 0))
}

// FsFlag returns a step that calls fsconfig(2) with FSCONFIG_SET_FLAG.
func FsFlag(fs Arg, key string) Step {
	return step(Fsconfig, fs, num(FsconfigCmd, 0), path(key), Arg{Kind: Null}, num(Int, 0))
}

// FsFD returns a step that calls fsconfig(2) with FSCONFIG_SET_FD.
func FsFD(fs Arg, key string, fd Arg) Step {
	return step(Fsconfig, fs, num(FsconfigCmd, 5), path(key), Arg{Kind: Null}, fd)
}

// FsCreate returns a step that calls fsconfig(2) with FSCONFIG_CMD_CREATE.
func FsCreate(fs Arg) Step {
	return step(Fsconfig, fs, num(FsconfigCmd, 6), Arg{Kind: Null}, Arg{Kind: Null}, num(Int, 0))
}

// FsmountStep returns a step that calls fsmount(2) with FSMOUNT_CLOEXEC.
func FsmountStep(fs Arg, attrs uint64) Step {
	return step(Fsmount, fs, num(FsmountFlags, 1), num(FsmountAttrs, attrs))
}

// Pivot returns a step that calls pivot_root(2).
func Pivot(root, old string) Step { return step(PivotRoot, path(root), path(old)) }

// Umount returns a step that calls umount2(2).
func Umount(p string, flags uint64) Step { return step(Umount2, path(p), num(UmountFlags, flags)) }

// --- namespaces and identities

// UnshareStep returns a step that calls unshare(2).
func UnshareStep(flags uint64) Step { return step(Unshare, num(CloneFlags, flags)) }

// SetnsStep returns a step that calls setns(2).
func SetnsStep(fd Arg, flag uint64) Step { return step(Setns, fd, num(CloneFlags, flag)) }

// Hostname returns a step that calls sethostname(2).
func Hostname(name string) Step {
	return step(Sethostname, mem(Text, name), num(Int, uint64(len(name))))
}

// NoGroups returns a step that calls setgroups(2) with an empty list.
func NoGroups() Step { return step(Setgroups, num(Int, 0), Arg{Kind: Null}) }

// SetUID returns a step that calls setresuid(2).
func SetUID(id uint64) Step { return step(Setresuid, num(Int, id), num(Int, id), num(Int, id)) }

// SetGID returns a step that calls setresgid(2).
func SetGID(id uint64) Step { return step(Setresgid, num(Int, id), num(Int, id), num(Int, id)) }

// SocketStep returns a step that calls socket(2).
func SocketStep(domain, typ, proto uint64) Step {
	return step(SocketCall, num(SocketDomain, domain), num(SocketType, typ), num(SockProto, proto))
}

// NetlinkSocket returns a step that calls socket(2) for a protocol of netlink(7).
func NetlinkSocket(proto uint64) Step {
	return step(SocketCall, num(SocketDomain, 16), num(SocketType, 3|0x80000), num(NetlinkProto, proto))
}

// SetSocketOption returns a step that calls setsockopt(2) with a number.
func SetSocketOption(fd Arg, level, option uint64, value uint32) Step {
	v := string(le32(nil, value))
	return step(Setsockopt, fd, num(SockLevel, level), num(SockOption, level<<16|option), mem(IntPtr, v), num(Int, 4))
}

// BindPort returns a step that calls bind(2) with the unspecified address of IPv4 or IPv6, and a port.
func BindPort(fd Arg, six bool, port uint16) Step {
	address := make([]byte, 16, 28)
	address[0], address[2], address[3] = 2, byte(port>>8), byte(port)
	if six {
		address = address[:28]
		address[0] = 10
	}
	return step(Bind, fd, mem(Sockaddr, string(address)), num(Int, uint64(len(address))))
}

// ListenStep returns a step that calls listen(2).
func ListenStep(fd Arg, backlog uint64) Step { return step(Listen, fd, num(Int, backlog)) }

// SetLinkFlags returns a step that calls ioctl(2) with SIOCSIFFLAGS: netdevice(7).
func SetLinkFlags(fd Arg, name string, flags uint16) Step {
	req := make([]byte, 40)
	copy(req[:15], name)
	req[16], req[17] = byte(flags), byte(flags>>8)
	return step(IoctlCall, fd, num(Ioctl, 0x8914), mem(Ifreq, string(req)))
}

// --- terminals: pts(4), ioctl_tty(2)

// UnlockPTY returns a step that calls ioctl(2) with TIOCSPTLCK, so that the slave may be opened.
func UnlockPTY(master Arg) Step {
	return step(IoctlCall, master, num(Ioctl, 0x40045431), mem(IntPtr, "\x00\x00\x00\x00"))
}

// OpenSlave returns a step that calls ioctl(2) with TIOCGPTPEER: it opens the slave through its master, without a
// path. Linux 4.13.
func OpenSlave(master Arg, flags uint64) Step {
	return step(IoctlCall, master, num(Ioctl, 0x5441), num(OpenMode, flags))
}

// ControlTTY returns a step that calls ioctl(2) with TIOCSCTTY: the terminal becomes the controlling terminal of the
// caller's session. The session must not have one yet.
func ControlTTY(fd Arg) Step { return step(IoctlCall, fd, num(Ioctl, 0x540e), num(Int, 0)) }

// Foreground returns a step that calls ioctl(2) with TIOCSPGRP: it makes the task's process group the foreground
// group of the terminal. See WithSelf.
func Foreground(fd Arg) Step { return step(IoctlCall, fd, num(Ioctl, 0x5410), Arg{Kind: Self}) }
