package filter

import "strconv"

// Kind says what happens to a system call.
type Kind uint8

// The kinds, from the least to the most severe: SECCOMP_RET_* of seccomp(2). If several rules decide one call, the
// most severe result holds. The kernel does the same if a process has several filters.
const (
	Unset      Kind = iota // the zero Action; it means the default of the field that has it
	Allow                  // SECCOMP_RET_ALLOW
	Log                    // SECCOMP_RET_LOG: allowed, and written to the audit log; Linux 4.14
	Trace                  // SECCOMP_RET_TRACE with Errno as its data: a ptracer decides
	Notify                 // SECCOMP_RET_USER_NOTIF: the launcher decides; Linux 5.0
	Errno                  // SECCOMP_RET_ERRNO: the call fails with Errno
	Trap                   // SECCOMP_RET_TRAP: SIGSYS, with Errno in si_errno
	KillThread             // SECCOMP_RET_KILL_THREAD
	Kill                   // SECCOMP_RET_KILL_PROCESS; Linux 4.14
)

// Action is a kind and its 16 bits of data. The zero Action is unset.
type Action struct {
	Kind  Kind
	Errno uint16 // for Errno 0..4095, for Trace and Trap any value; otherwise 0
}

// Spec describes a filter. The zero Spec allows nothing.
//
// The filter decides about a call in this order:
//
//  1. A call of another architecture, or with an x32 number, kills the process, unless Foreign lists the architecture.
//  2. A number that is not in the architecture's table, in a hole or beyond its end, gets Unknown.
//  3. A call that Deny names gets Default, or errno(EPERM) if Default would allow the call.
//  4. A call that Rules name is allowed if the conditions of all its rules hold, whether Allow names it or not.
//     Otherwise it gets the most severe action among the rules that fail.
//  5. A call that Allow names is allowed.
//  6. Any other call gets Default.
//
// On 32-bit ABIs, a denial or rule also covers the other calls that do the same work: a rule for setuid covers
// setuid32. A multiplexer (socketcall, ipc) is denied unless every call that it can make is allowed without conditions.
type Spec struct {
	Default Action // unset means errno(EPERM)
	Unknown Action // unset means errno(ENOSYS)
	Foreign []Arch // further architectures that the kernel can run; the native architecture in it has no effect
	Allow   []Item
	Deny    []Item
	Rules   []Rule

	// Report turns errno into notify, so that the launcher sees the call and answers it. The answer is what the same
	// Spec without Report decides. Report does not change Unknown, and it changes ENOSYS only if ENOSYS is Default.
	// These results tell a program that the kernel lacks the call, and libc then uses another one (for example instead
	// of clone3, at every new thread).
	Report bool

	// Audit turns everything that is not allowed into notify, so that an auditor sees the call and lets it continue.
	// This includes kill and trap, and calls of architectures that Foreign does not list. As with Report, ENOSYS stays
	// unless it is Default.
	Audit bool

	// Own is the call with which the launcher starts the program, or "" if there is none. Report does not change its
	// action, because at that time nobody could answer a notification.
	Own string
}

// Item is a call, or a group of calls whose name begins with @.
type Item struct {
	Name string
	From string // its position in the profile, for errors and Explain; may be empty
}

// Rule decides one call by its arguments, or fixes its action.
type Rule struct {
	Call string // a call; if Expr is an action, also a group
	Expr string // the condition under which the call is allowed, or an action such as errno(ENOSYS)
	Else Action // the action if the condition is false; unset means Spec.Default, or errno(EPERM) if that allows the call
	From string // the place in the profile; may be empty

	// Quiet says that the user expects the rule's denials; see Expected. It changes no decision.
	Quiet bool

	byDefault bool // the rule stands for the Spec's Default: see Narrow
}

// Error is one fault in a Spec.
type Error struct {
	From string // the item or rule that is wrong; "" if no single one is
	Col  int    // the column in the rule's expression, in bytes from 1; 0 if the error is not in an expression
	Msg  string
	Hint string // what was probably meant, or what would help; may be empty
}

func (e *Error) Error() string {
	s := ""
	if e.From != "" {
		s = e.From + ": "
	}
	if e.Col > 0 {
		s += "column " + strconv.Itoa(e.Col) + ": "
	}
	s += e.Msg
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// Errors lists everything that is wrong with a Spec, in the order of the Spec. If Compile returns an error, it is an
// Errors.
type Errors []*Error

func (e Errors) Error() string {
	s := ""
	for i, x := range e {
		if i > 0 {
			s += "\n"
		}
		s += x.Error()
	}
	return s
}
