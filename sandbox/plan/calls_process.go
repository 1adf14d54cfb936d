package plan

// The calls that are about the process itself.

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

// SendByte sends one byte to the launcher. It fails if the launcher is gone.
func SendByte(fd Arg, b string) Step {
	return step(Sendto, fd, mem(Text, b), num(Int, 1), num(MsgFlags, 0x4000), Arg{Kind: Null}, num(Int, 0))
}

// RecvByte waits for one byte from the launcher. It fails with EPIPE if the launcher is gone.
func RecvByte(fd Arg) Step {
	return step(Recvfrom, fd, num(Out, 1), num(Int, 1), num(MsgFlags, 0), Arg{Kind: Null}, Arg{Kind: Null})
}

// RecvFD waits for a byte from the launcher that brings a descriptor: recvmsg(2), unix(7), SCM_RIGHTS. The register takes
// the descriptor.
func RecvFD(fd Arg) Step {
	return step(Recvmsg, fd, Arg{Kind: Rights}, num(MsgFlags, 0x40000000))
}

// CreateRuleset is landlock_create_ruleset(2), since Linux 5.13. size is the size of the structure that the ABI knows.
func CreateRuleset(fs, net, scoped uint64, size uint64) Step {
	attr := le64(le64(le64(make([]byte, 0, 24), fs), net), scoped)
	return step(LandlockCreateRuleset, mem(RulesetAttr, string(attr[:size])), num(Int, size), num(Int, 0))
}

// AllowBeneath is landlock_add_rule(2) for the hierarchy whose descriptor is in a register.
func AllowBeneath(ruleset Arg, parent Reg, access uint64) Step {
	return step(LandlockAddRule, ruleset, num(RuleType, 1), Arg{Kind: PathBeneath, Int: access, Reg: parent}, num(Int, 0))
}

// RestrictSelf is landlock_restrict_self(2).
func RestrictSelf(ruleset Arg) Step { return step(LandlockRestrictSelf, ruleset, num(Int, 0)) }

// SetFilter is seccomp(2), SECCOMP_SET_MODE_FILTER. prog is an array of struct sock_filter.
func SetFilter(flags uint64, prog string) Step {
	return step(Seccomp, num(SeccompOp, 1), num(SeccompFlags, flags), mem(Fprog, prog))
}

// HoldOwner is set_robust_list(2) with a list of one futex, the owner word. When the task's memory goes, at execve or
// at its end, the kernel marks the word and wakes its waiter.
func HoldOwner() Step { return step(SetRobustList, Arg{Kind: RobustList}, num(Int, 24)) }

// The operations of futex(2), and what it calls FUTEX_WAITERS.
const (
	futexWait, futexWakeOp, futexLockPI = 0, 5, 6

	futexWaiters = 1 << 31
)

// MarkOwner is futex(2), FUTEX_WAKE_OP. It sets FUTEX_WAITERS in the owner word, by an OR with 1 << 31, and wakes
// nobody. It follows HoldOwner, so the mark also says that the robust list exists. If AwaitOwner already waits, the
// call fails with EINVAL and still sets the bit.
func MarkOwner() Step {
	const orShifted, oneBit = 10 << 28, 31 << 12 // FUTEX_OP_OR with FUTEX_OP_OPARG_SHIFT, and its argument
	word := Arg{Kind: Owner}
	return step(Futex, word, num(FutexOp, futexWakeOp), num(Int, 0), num(Int, 0), word, num(Hex, orShifted|oneBit))
}

// SleepForOwner is futex(2), FUTEX_WAIT: it waits like AwaitOwner, but asleep. EAGAIN means that the word does not
// belong to a task with the given pid that has executed MarkOwner.
func SleepForOwner(pid uint64) Step {
	return step(Futex, Arg{Kind: Owner}, num(FutexOp, futexWait), num(Hex, pid|futexWaiters), Arg{Kind: Null})
}

// AwaitOwner is futex(2), FUTEX_LOCK_PI on the owner word: it waits until the memory of the task is gone. The operation
// reads no value; the third printed argument is the timeout, as strace prints it.
func AwaitOwner() Step {
	return step(Futex, Arg{Kind: Owner}, num(FutexOp, futexLockPI), Arg{Kind: Null})
}

// SendFile sends one byte, and with it the descriptor whose number is n: unix(7), SCM_RIGHTS.
func SendFile(fd Arg, b string, n uint64) Step {
	return step(Sendmsg, fd, Arg{Kind: SendRights, Int: n, Data: b}, num(MsgFlags, 0x4000))
}

// SendKept is SendFile for the descriptor in a register.
func SendKept(fd Arg, b byte, file Reg) Step {
	return step(Sendmsg, fd, Arg{Kind: KeptRights, Int: uint64(b), Reg: file}, num(MsgFlags, 0x4000))
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
