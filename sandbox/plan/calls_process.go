package plan

// The steps in this file change the process itself.

// PrctlStep returns a step that calls prctl(2) with numeric arguments.
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

// ThreadName returns a step that calls prctl(2) with PR_SET_NAME. The name has at most 15 bytes.
func ThreadName(name string) Step {
	return step(Prctl, num(PrctlOp, 15), path(name), num(Int, 0), num(Int, 0), num(Int, 0))
}

// CapsetStep returns a step that calls capset(2), version 3.
func CapsetStep(effective, permitted, inheritable uint64) Step {
	header := le32(le32(make([]byte, 0, 8), 0x20080522), 0)
	data := make([]byte, 0, 24)
	for shift := 0; shift <= 32; shift += 32 {
		data = le32(le32(le32(data, uint32(effective>>shift)), uint32(permitted>>shift)), uint32(inheritable>>shift))
	}
	return step(Capset, mem(CapHeader, string(header)), mem(CapData, string(data)))
}

// SetRlimit returns a step that calls prlimit(2) on the caller.
func SetRlimit(resource, soft, hard uint64) Step {
	lim := le64(le64(make([]byte, 0, 16), soft), hard)
	return step(Prlimit, num(Int, 0), num(Resource, resource), mem(Rlimit64, string(lim)), Arg{Kind: Null})
}

// Nice returns a step that calls setpriority(2) on the caller.
func Nice(n int) Step { return step(Setpriority, num(Who, 0), num(Int, 0), num(Int, uint64(int64(n)))) }

// NewSession returns a step that calls setsid(2).
func NewSession() Step { return step(Setsid) }

// NewGroup returns a step that calls setpgid(2), so that the caller gets its own process group in its session.
func NewGroup() Step { return step(Setpgid, num(Int, 0), num(Int, 0)) }

// JoinSessionKeyring returns a step that calls keyctl(2) with KEYCTL_JOIN_SESSION_KEYRING, for a new anonymous
// keyring.
func JoinSessionKeyring() Step { return step(Keyctl, num(KeyctlOp, 1), Arg{Kind: Null}) }

// UnblockSignals returns a step that calls rt_sigprocmask(2) with SIG_SETMASK and the empty set.
func UnblockSignals() Step {
	return step(RtSigprocmask, num(SigHow, 2), mem(Sigset, "\x00\x00\x00\x00\x00\x00\x00\x00"), Arg{Kind: Null}, num(Int, 8))
}

// SendByte returns a step that sends one byte to the launcher. It fails if the launcher has ended.
func SendByte(fd Arg, b string) Step {
	return step(Sendto, fd, mem(Text, b), num(Int, 1), num(MsgFlags, 0x4000), Arg{Kind: Null}, num(Int, 0))
}

// RecvByte returns a step that waits for one byte from the launcher. It fails with EPIPE if the launcher has ended.
func RecvByte(fd Arg) Step {
	return step(Recvfrom, fd, num(Out, 1), num(Int, 1), num(MsgFlags, 0), Arg{Kind: Null}, Arg{Kind: Null})
}

// RecvFD returns a step that waits for a byte from the launcher that comes with a descriptor: recvmsg(2), unix(7),
// SCM_RIGHTS. The step's register gets the descriptor.
func RecvFD(fd Arg) Step {
	return step(Recvmsg, fd, Arg{Kind: Rights}, num(MsgFlags, 0x40000000))
}

// CreateRuleset returns a step that calls landlock_create_ruleset(2), since Linux 5.13. size is the size of the
// structure in the kernel's ABI version.
func CreateRuleset(fs, net, scoped uint64, size uint64) Step {
	attr := le64(le64(le64(make([]byte, 0, 24), fs), net), scoped)
	return step(LandlockCreateRuleset, mem(RulesetAttr, string(attr[:size])), num(Int, size), num(Int, 0))
}

// AllowBeneath returns a step that calls landlock_add_rule(2) for the file hierarchy whose descriptor is in a
// register.
func AllowBeneath(ruleset Arg, parent Reg, access uint64) Step {
	return step(LandlockAddRule, ruleset, num(RuleType, 1), Arg{Kind: PathBeneath, Int: access, Reg: parent}, num(Int, 0))
}

// RestrictSelf returns a step that calls landlock_restrict_self(2).
func RestrictSelf(ruleset Arg) Step { return step(LandlockRestrictSelf, ruleset, num(Int, 0)) }

// SetFilter returns a step that calls seccomp(2) with SECCOMP_SET_MODE_FILTER. prog is an array of struct
// sock_filter.
func SetFilter(flags uint64, prog string) Step {
	return step(Seccomp, num(SeccompOp, 1), num(SeccompFlags, flags), mem(Fprog, prog))
}

// HoldOwner returns a step that calls set_robust_list(2) with a list of one futex, the owner word. When the task
// loses its memory, at execve or at its end, the kernel marks the word and wakes the process that waits for it.
func HoldOwner() Step { return step(SetRobustList, Arg{Kind: RobustList}, num(Int, 24)) }

// Operations of futex(2), and the bit FUTEX_WAITERS.
const (
	futexWait, futexWakeOp, futexLockPI = 0, 5, 6

	futexWaiters = 1 << 31
)

// MarkOwner returns a step that calls futex(2) with FUTEX_WAKE_OP. The step sets FUTEX_WAITERS in the owner word, by an
// OR with 1 << 31, and wakes no process. It comes after HoldOwner, so the bit also shows that the robust list exists.
// If AwaitOwner already waits, the call fails with EINVAL, but still sets the bit.
func MarkOwner() Step {
	const orShifted, oneBit = 10 << 28, 31 << 12 // FUTEX_OP_OR with FUTEX_OP_OPARG_SHIFT, and its argument
	word := Arg{Kind: Owner}
	return step(Futex, word, num(FutexOp, futexWakeOp), num(Int, 0), num(Int, 0), word, num(Hex, orShifted|oneBit))
}

// AnnounceOwner returns a step that does what MarkOwner does, and also wakes the process that waits in AwaitMark.
func AnnounceOwner() Step {
	s := MarkOwner()
	s.Args[2].Int = 1
	return s
}

// AwaitMark returns a step that calls futex(2) with FUTEX_WAIT. The step sleeps until a task with the given pid has
// executed AnnounceOwner. After 10 s it fails with ETIMEDOUT. EAGAIN means that the task has executed AnnounceOwner
// already.
func AwaitMark(pid uint64) Step {
	return step(Futex, Arg{Kind: Owner}, num(FutexOp, futexWait), num(Hex, pid), mem(Timespec, string(le64(le64(make([]byte, 0, 16), 10), 0))))
}

// SleepForOwner returns a step that calls futex(2) with FUTEX_WAIT. The step sleeps until the kernel has released the
// task's memory: see AwaitOwner. EAGAIN means that the word does not belong to a task with the given pid that has
// executed MarkOwner.
func SleepForOwner(pid uint64) Step {
	return step(Futex, Arg{Kind: Owner}, num(FutexOp, futexWait), num(Hex, pid|futexWaiters), Arg{Kind: Null})
}

// AwaitOwner returns a step that calls futex(2) with FUTEX_LOCK_PI on the owner word: it waits until the kernel has
// released the task's memory. The operation reads no value; the third printed argument is the timeout, as strace prints
// it.
func AwaitOwner() Step {
	return step(Futex, Arg{Kind: Owner}, num(FutexOp, futexLockPI), Arg{Kind: Null})
}

// SendFile returns a step that sends bytes, and with them the descriptor whose number is n: unix(7), SCM_RIGHTS.
func SendFile(fd Arg, b string, n uint64) Step {
	return step(Sendmsg, fd, Arg{Kind: SendRights, Int: n, Data: b}, num(MsgFlags, 0x4000))
}

// SendKept returns the step of SendFile for the descriptor in a register.
func SendKept(fd Arg, b byte, file Reg) Step {
	return step(Sendmsg, fd, Arg{Kind: KeptRights, Int: uint64(b), Reg: file}, num(MsgFlags, 0x4000))
}

// Exec returns a step that calls execve(2). args and env are lists of strings, each ended by a NUL.
func Exec(file, args, env string) Step {
	return step(Execve, path(file), mem(Strings, args), mem(Strings, env))
}

// ExecOnce returns a step that calls execveat(2) on an absolute path. The kernel ignores the sixth argument, nonce,
// but the filter checks it.
func ExecOnce(file, args, env string, nonce uint64) Step {
	return step(Execveat, CWD, path(file), mem(Strings, args), mem(Strings, env), num(AtFlags, 0), num(Nonce, nonce))
}

// ExecFile returns a step that calls execveat(2) on a descriptor. The descriptor must be close-on-exec. Then the kernel
// refuses to interpret a script, whose first line could name a link to the launcher's own image. For nonce see
// ExecOnce.
func ExecFile(file Arg, args, env string, nonce uint64) Step {
	return step(Execveat, file, path(""), mem(Strings, args), mem(Strings, env), num(AtFlags, atEmptyPath), num(Nonce, nonce))
}

const atEmptyPath = 0x1000 // AT_EMPTY_PATH

// MaySignal returns a step that asks, by signal 0, whether the process may signal the process with the given pid:
// kill(2). If it may, the step fails with EPIPE.
func MaySignal(pid uint64) Step { return step(Kill, num(Int, pid), num(Int, 0)) }
