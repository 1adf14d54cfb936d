package plan

// Call is a system call, by name rather than number, so that a plan reads the same on every architecture.
type Call uint8

// The calls that a plan may use. Fork is clone(2): the child becomes the task, the caller init. Respawn is clone(2) too:
// the child goes on with the plan, the caller ends.
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
	Fchmod
	Recvmsg
	Execveat
	Futex
	Sendmsg
	SetRobustList
	Setpgid
	NumCalls
)

var callNames = [NumCalls]string{
	Fork: "clone", Respawn: "clone", Capset: "capset", Chdir: "chdir", Chroot: "chroot", Close: "close", CloseRange: "close_range", Dup3: "dup3",
	Execve: "execve", Fchdir: "fchdir", Fsconfig: "fsconfig", Fsmount: "fsmount", Fsopen: "fsopen", IoctlCall: "ioctl",
	Keyctl: "keyctl", LandlockAddRule: "landlock_add_rule", LandlockCreateRuleset: "landlock_create_ruleset",
	LandlockRestrictSelf: "landlock_restrict_self", Mkdirat: "mkdirat", Mknodat: "mknodat", MountSetattr: "mount_setattr",
	MoveMount: "move_mount", Openat: "openat", Openat2: "openat2", OpenTree: "open_tree", PivotRoot: "pivot_root", Prctl: "prctl",
	Prlimit: "prlimit64", Read: "read", Recvfrom: "recvfrom", RtSigprocmask: "rt_sigprocmask", Seccomp: "seccomp", Sendto: "sendto",
	Setdomainname: "setdomainname", Setgroups: "setgroups", Sethostname: "sethostname", Setns: "setns", Setpriority: "setpriority",
	Setresgid: "setresgid", Setresuid: "setresuid", Setsid: "setsid", SocketCall: "socket", Symlinkat: "symlinkat", Umask: "umask",
	Umount2: "umount2", Unshare: "unshare", Write: "write", Fchmod: "fchmod",
	Recvmsg: "recvmsg", Execveat: "execveat", Futex: "futex", Sendmsg: "sendmsg", SetRobustList: "set_robust_list",
	Setpgid: "setpgid",
}

func (c Call) String() string { return callNames[c] }

// Into stores the result in a register.
func (s Step) Into(r Reg) Step { s.To = r; return s }

// OrElse makes one error count as success.
func (s Step) OrElse(e Errno) Step { s.Or = e; return s }

// For names the profile position that asks for the step.
func (s Step) For(f From) Step { s.From = f; return s }

// CWD is AT_FDCWD; R the value of a register; F the descriptor of a launcher's file.
var CWD = Arg{Kind: AtFDCWD}

// AtFDCWD is a Kind of its own, so that it prints by name.
const AtFDCWD = Kind(200)

// R is the value of a register.
func R(r Reg) Arg { return Arg{Kind: Register, Reg: r} }

// F is the descriptor of a file that the launcher opened.
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

// ForkStep splits: the new process, the task, runs the steps that follow, the caller runs Plan.Init and then reaps. They
// share their descriptors until one of them leaves the table.
func ForkStep() Step { return step(Fork, num(CloneFlags, cloneFiles)) }

// OwnedFork is ForkStep, and leaves the task's pid, as both see it, in the owner word of the shared page: get_robust_list(2)
// calls it the owner of a futex.
func OwnedFork() Step {
	return step(Fork, num(CloneFlags, cloneFiles|cloneParentSetTID), Arg{Kind: Null}, Arg{Kind: Owner})
}

// WithSelf leaves the task's pid, as it sees it itself, in the page's word for that. The owner word is a futex, and changes.
func (s Step) WithSelf() Step {
	s.N, s.Args[0].Int, s.Args[3] = 4, s.Args[0].Int|cloneChildSetTID, Arg{Kind: Self}
	for i := 1; i < 3; i++ {
		if s.Args[i].Kind == Int {
			s.Args[i].Kind = Null
		}
	}
	return s
}

// RespawnStep makes a process that goes on with the steps that follow, as a child of the launcher, while the caller ends:
// the namespaces that a process has entered are its children's only (pid_namespaces(7)). The new pid is left in the page
// that is shared with the launcher.
func RespawnStep() Step { return step(Respawn, num(CloneFlags, cloneParent|cloneParentSetTID)) }

const (
	cloneFiles        = 0x400    // CLONE_FILES
	cloneParent       = 0x8000   // CLONE_PARENT
	cloneParentSetTID = 0x100000 // CLONE_PARENT_SETTID
	cloneChildSetTID  = 0x1000000
)

// --- files and directories

// OpenStep is openat(2).
func OpenStep(dir Arg, p string, flags, mode uint64) Step {
	s := step(Openat, dir, path(p), num(OpenMode, flags), num(Octal, mode))
	if flags&oCreat == 0 {
		s.N = 3
	}
	return s
}

// Open2 is openat2(2), since Linux 5.6.
func Open2(dir Arg, p string, flags, resolve uint64) Step {
	how := le64(le64(le64(make([]byte, 0, 24), flags), 0), resolve)
	return step(Openat2, dir, path(p), mem(OpenHow, string(how)), num(Int, 24))
}

// CloseStep is close(2).
func CloseStep(fd Arg) Step { return step(Close, fd) }

// CloseFrom is close_range(2) from first upwards, since Linux 5.9.
func CloseFrom(first uint64, flags uint64) Step {
	return step(CloseRange, num(Int, first), num(Int, 0xffffffff), num(CloseRangeFlags, flags))
}

// Dup is dup3(2).
func Dup(old, to Arg, flags uint64) Step { return step(Dup3, old, to, num(DupFlags, flags)) }

// Number is a plain number.
func Number(v uint64) Arg { return num(Int, v) }

// WriteStep is write(2).
func WriteStep(fd Arg, text string) Step {
	return step(Write, fd, mem(Text, text), num(Int, uint64(len(text))))
}

// ReadStep is read(2) into a buffer nobody looks at.
func ReadStep(fd Arg, n uint64) Step { return step(Read, fd, num(Out, n), num(Int, n)) }

// WipeArgs reads zeros over the copy of the launcher's arguments.
func WipeArgs(zero Arg) Step { return step(Read, zero, Arg{Kind: Argv}, Arg{Kind: ArgvLen}) }

// MkdirStep is mkdirat(2).
func MkdirStep(dir Arg, p string, mode uint64) Step {
	return step(Mkdirat, dir, path(p), num(Octal, mode))
}

// MkfileStep makes an empty regular file, by mknodat(2).
func MkfileStep(dir Arg, p string, mode uint64) Step {
	return step(Mknodat, dir, path(p), num(FileMode, 0o100000|mode), num(Int, 0))
}

// MkcharStep makes a character device, by mknodat(2).
func MkcharStep(dir Arg, p string, device uint64) Step {
	return step(Mknodat, dir, path(p), num(FileMode, 0o020000), num(Int, device))
}

// SymlinkStep is symlinkat(2).
func SymlinkStep(text string, dir Arg, p string) Step {
	return step(Symlinkat, path(text), dir, path(p))
}

// FchmodStep is fchmod(2).
func FchmodStep(fd Arg, mode uint64) Step { return step(Fchmod, fd, num(Octal, mode)) }

// ChdirStep is chdir(2).
func ChdirStep(p string) Step { return step(Chdir, path(p)) }

// FchdirStep is fchdir(2).
func FchdirStep(fd Arg) Step { return step(Fchdir, fd) }

// ChrootStep is chroot(2).
func ChrootStep(p string) Step { return step(Chroot, path(p)) }

// UmaskStep is umask(2).
func UmaskStep(mask uint64) Step { return step(Umask, num(Octal, mask)) }

// SetUmask is umask(2) with the value of a register.
func SetUmask(mask Arg) Step { return step(Umask, mask) }

// --- mounts

// Clone is open_tree(2), since Linux 5.2.
func Clone(dir Arg, p string, flags uint64) Step {
	return step(OpenTree, dir, path(p), num(OpenTreeFlags, flags))
}

// Setattr is mount_setattr(2), since Linux 5.12. propagation is 0 or MS_PRIVATE.
func Setattr(dir Arg, p string, flags, set, clr, propagation uint64) Step {
	attr := le64(le64(le64(le64(make([]byte, 0, 32), set), clr), propagation), 0)
	return step(MountSetattr, dir, path(p), num(AtFlags, flags), mem(MountAttr, string(attr)), num(Int, 32))
}

// Move is move_mount(2), since Linux 5.2.
func Move(from Arg, dir Arg, p string, flags uint64) Step {
	return step(MoveMount, from, path(""), dir, path(p), num(MoveMountFlags, flags))
}

// FsopenStep is fsopen(2) with FSOPEN_CLOEXEC.
func FsopenStep(fs string) Step { return step(Fsopen, path(fs), num(FsopenFlags, 1)) }

// FsString is fsconfig(2), FSCONFIG_SET_STRING.
func FsString(fs Arg, key, value string) Step {
	return step(Fsconfig, fs, num(FsconfigCmd, 1), path(key), path(value), num(Int, 0))
}

// FsFlag is fsconfig(2), FSCONFIG_SET_FLAG.
func FsFlag(fs Arg, key string) Step {
	return step(Fsconfig, fs, num(FsconfigCmd, 0), path(key), Arg{Kind: Null}, num(Int, 0))
}

// FsFD is fsconfig(2), FSCONFIG_SET_FD.
func FsFD(fs Arg, key string, fd Arg) Step {
	return step(Fsconfig, fs, num(FsconfigCmd, 5), path(key), Arg{Kind: Null}, fd)
}

// FsCreate is fsconfig(2), FSCONFIG_CMD_CREATE.
func FsCreate(fs Arg) Step {
	return step(Fsconfig, fs, num(FsconfigCmd, 6), Arg{Kind: Null}, Arg{Kind: Null}, num(Int, 0))
}

// FsmountStep is fsmount(2) with FSMOUNT_CLOEXEC.
func FsmountStep(fs Arg, attrs uint64) Step {
	return step(Fsmount, fs, num(FsmountFlags, 1), num(FsmountAttrs, attrs))
}

// Pivot is pivot_root(2).
func Pivot(root, old string) Step { return step(PivotRoot, path(root), path(old)) }

// Umount is umount2(2).
func Umount(p string, flags uint64) Step { return step(Umount2, path(p), num(UmountFlags, flags)) }

// --- namespaces and identities

// UnshareStep is unshare(2).
func UnshareStep(flags uint64) Step { return step(Unshare, num(CloneFlags, flags)) }

// SetnsStep is setns(2).
func SetnsStep(fd Arg, flag uint64) Step { return step(Setns, fd, num(CloneFlags, flag)) }

// Hostname is sethostname(2).
func Hostname(name string) Step {
	return step(Sethostname, mem(Text, name), num(Int, uint64(len(name))))
}

// NoGroups is setgroups(2) with an empty list.
func NoGroups() Step { return step(Setgroups, num(Int, 0), Arg{Kind: Null}) }

// SetUID is setresuid(2).
func SetUID(id uint64) Step { return step(Setresuid, num(Int, id), num(Int, id), num(Int, id)) }

// SetGID is setresgid(2).
func SetGID(id uint64) Step { return step(Setresgid, num(Int, id), num(Int, id), num(Int, id)) }

// SocketStep is socket(2).
func SocketStep(domain, typ, proto uint64) Step {
	return step(SocketCall, num(SocketDomain, domain), num(SocketType, typ), num(SockProto, proto))
}

// SetLinkFlags is ioctl(2), SIOCSIFFLAGS: netdevice(7).
func SetLinkFlags(fd Arg, name string, flags uint16) Step {
	req := make([]byte, 40)
	copy(req[:15], name)
	req[16], req[17] = byte(flags), byte(flags>>8)
	return step(IoctlCall, fd, num(Ioctl, 0x8914), mem(Ifreq, string(req)))
}

// --- terminals: pts(4), ioctl_tty(2)

// UnlockPTY is ioctl(2), TIOCSPTLCK: the slave may be opened.
func UnlockPTY(master Arg) Step {
	return step(IoctlCall, master, num(Ioctl, 0x40045431), mem(IntPtr, "\x00\x00\x00\x00"))
}

// OpenSlave is ioctl(2), TIOCGPTPEER: it opens the slave by its master and no path. Linux 4.13.
func OpenSlave(master Arg, flags uint64) Step {
	return step(IoctlCall, master, num(Ioctl, 0x5441), num(OpenMode, flags))
}

// ControlTTY is ioctl(2), TIOCSCTTY: the terminal becomes that of the caller's session, which has none.
func ControlTTY(fd Arg) Step { return step(IoctlCall, fd, num(Ioctl, 0x540e), num(Int, 0)) }

// Foreground is ioctl(2), TIOCSPGRP: the task's process group comes to the foreground of the terminal. See WithSelf.
func Foreground(fd Arg) Step { return step(IoctlCall, fd, num(Ioctl, 0x5410), Arg{Kind: Self}) }

// --- the process

// PrctlStep is prctl(2) with numeric arguments.
func PrctlStep(op uint64, args ...uint64) Step {
	s := step(Prctl, num(PrctlOp, op), num(Int, 0), num(Int, 0), num(Int, 0), num(Int, 0))
	for i, a := range args {
		s.Args[1+i].Int = a
	}
	s.Args[1].Kind = prctlArg(op)
	if op == prAmbient && len(args) > 1 {
		s.Args[2].Kind = Capability
	}
	return s
}

// ThreadName is prctl(2), PR_SET_NAME: at most 15 bytes.
func ThreadName(name string) Step {
	return step(Prctl, num(PrctlOp, 15), path(name), num(Int, 0), num(Int, 0), num(Int, 0))
}

// CapsetStep is capset(2), version 3.
func CapsetStep(effective, permitted, inheritable uint64) Step {
	header := le32(le32(make([]byte, 0, 8), 0x20080522), 0)
	data := make([]byte, 0, 24)
	for shift := 0; shift <= 32; shift += 32 {
		data = le32(le32(le32(data, uint32(effective>>shift)), uint32(permitted>>shift)), uint32(inheritable>>shift))
	}
	return step(Capset, mem(CapHeader, string(header)), mem(CapData, string(data)))
}

// SetRlimit is prlimit(2) on the caller.
func SetRlimit(resource, soft, hard uint64) Step {
	lim := le64(le64(make([]byte, 0, 16), soft), hard)
	return step(Prlimit, num(Int, 0), num(Resource, resource), mem(Rlimit64, string(lim)), Arg{Kind: Null})
}

// Nice is setpriority(2) on the caller.
func Nice(n int) Step { return step(Setpriority, num(Who, 0), num(Int, 0), num(Int, uint64(int64(n)))) }

// NewSession is setsid(2).
func NewSession() Step { return step(Setsid) }

// NewGroup is setpgid(2): a process group of the caller's own in its session.
func NewGroup() Step { return step(Setpgid, num(Int, 0), num(Int, 0)) }

// JoinSessionKeyring is keyctl(2), KEYCTL_JOIN_SESSION_KEYRING with a new anonymous keyring.
func JoinSessionKeyring() Step { return step(Keyctl, num(KeyctlOp, 1), Arg{Kind: Null}) }

// UnblockSignals is rt_sigprocmask(2), SIG_SETMASK with the empty set.
func UnblockSignals() Step {
	return step(RtSigprocmask, num(SigHow, 2), mem(Sigset, "\x00\x00\x00\x00\x00\x00\x00\x00"), Arg{Kind: Null}, num(Int, 8))
}

// SendByte sends one byte to the launcher; it fails where there is none any more.
func SendByte(fd Arg, b string) Step {
	return step(Sendto, fd, mem(Text, b), num(Int, 1), num(MsgFlags, 0x4000), Arg{Kind: Null}, num(Int, 0))
}

// RecvByte waits for one byte from the launcher.
func RecvByte(fd Arg) Step {
	return step(Recvfrom, fd, num(Out, 1), num(Int, 1), num(MsgFlags, 0), Arg{Kind: Null}, Arg{Kind: Null})
}

// RecvFD waits for a byte from the launcher that brings a descriptor: recvmsg(2), unix(7), SCM_RIGHTS. The register takes
// the descriptor.
func RecvFD(fd Arg) Step {
	return step(Recvmsg, fd, Arg{Kind: Rights}, num(MsgFlags, 0x40000000))
}

// CreateRuleset is landlock_create_ruleset(2), since Linux 5.13; size is what the ABI knows of the structure.
func CreateRuleset(fs, net, scoped uint64, size uint64) Step {
	attr := le64(le64(le64(make([]byte, 0, 24), fs), net), scoped)
	return step(LandlockCreateRuleset, mem(RulesetAttr, string(attr[:size])), num(Int, size), num(Int, 0))
}

// AllowBeneath is landlock_add_rule(2) for the hierarchy whose descriptor was put at the launcher's file fd.
func AllowBeneath(ruleset Arg, fd string, access uint64) Step {
	return step(LandlockAddRule, ruleset, num(RuleType, 1), Arg{Kind: PathBeneath, Int: access, Data: fd}, num(Int, 0))
}

// RestrictSelf is landlock_restrict_self(2).
func RestrictSelf(ruleset Arg) Step { return step(LandlockRestrictSelf, ruleset, num(Int, 0)) }

// SetFilter is seccomp(2), SECCOMP_SET_MODE_FILTER. prog is an array of struct sock_filter.
func SetFilter(flags uint64, prog string) Step {
	return step(Seccomp, num(SeccompOp, 1), num(SeccompFlags, flags), mem(Fprog, prog))
}

// HoldOwner is set_robust_list(2) with a list of one: the kernel marks the owner word, a futex, and wakes whoever waits
// for it when the task's memory goes, which is at execve or at its end.
func HoldOwner() Step { return step(SetRobustList, Arg{Kind: RobustList}, num(Int, 24)) }

// The operations of futex(2), and what it calls FUTEX_WAITERS.
const (
	futexWait, futexWakeOp, futexLockPI = 0, 5, 6

	futexWaiters = 1 << 31
)

// MarkOwner is futex(2), FUTEX_WAKE_OP, which wakes nobody here: it sets FUTEX_WAITERS in the owner word, by an OR with 1 << 31.
// It follows HoldOwner, so that the mark also says that the list is there. With a waiter of AwaitOwner it is EINVAL, and
// sets the bit all the same.
func MarkOwner() Step {
	const orShifted, oneBit = 10 << 28, 31 << 12 // FUTEX_OP_OR with FUTEX_OP_OPARG_SHIFT, and its argument
	word := Arg{Kind: Owner}
	return step(Futex, word, num(FutexOp, futexWakeOp), num(Int, 0), num(Int, 0), word, num(Hex, orShifted|oneBit))
}

// SleepForOwner is futex(2), FUTEX_WAIT: it waits like AwaitOwner, but asleep. EAGAIN says that the word is not that of a
// task with the pid given that has done MarkOwner.
func SleepForOwner(pid uint64) Step {
	return step(Futex, Arg{Kind: Owner}, num(FutexOp, futexWait), num(Hex, pid|futexWaiters), Arg{Kind: Null})
}

// AwaitOwner is futex(2), FUTEX_LOCK_PI on the owner word: it waits until the memory of the task is gone. The operation
// reads no value; what is printed third is the timeout, as strace has it.
func AwaitOwner() Step {
	return step(Futex, Arg{Kind: Owner}, num(FutexOp, futexLockPI), Arg{Kind: Null})
}

// SendFile sends one byte, and with it the descriptor whose number is n: unix(7), SCM_RIGHTS.
func SendFile(fd Arg, b string, n uint64) Step {
	return step(Sendmsg, fd, Arg{Kind: SendRights, Int: n, Data: b}, num(MsgFlags, 0x4000))
}

// SendNamedFile is SendFile for the descriptor that was put at the launcher's file name.
func SendNamedFile(fd Arg, b byte, name string) Step {
	return step(Sendmsg, fd, Arg{Kind: SendNamed, Int: uint64(b), Data: name}, num(MsgFlags, 0x4000))
}

// Exec is execve(2). args and env are strings each ended by a NUL.
func Exec(file, args, env string) Step {
	return step(Execve, path(file), mem(Strings, args), mem(Strings, env))
}

// ExecOnce is execveat(2) on an absolute path. It does not look at its sixth argument, and the filter does.
func ExecOnce(file, args, env string, nonce uint64) Step {
	return step(Execveat, CWD, path(file), mem(Strings, args), mem(Strings, env), num(AtFlags, 0), num(Nonce, nonce))
}

// ExecFile is execveat(2) on a descriptor, which is to be close-on-exec: then the kernel interprets no script, whose
// first line could name a link to the launcher's own image. nonce is as for ExecOnce.
func ExecFile(file Arg, args, env string, nonce uint64) Step {
	return step(Execveat, file, path(""), mem(Strings, args), mem(Strings, env), num(AtFlags, atEmptyPath), num(Nonce, nonce))
}

const atEmptyPath = 0x1000 // AT_EMPTY_PATH
