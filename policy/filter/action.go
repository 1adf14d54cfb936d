package filter

import (
	"strconv"
	"strings"

	"cordon/policy/filter/tables"
)

// SECCOMP_RET_* of linux/seccomp.h; the low 16 bits are data.
const (
	retKill       = 0x80000000
	retKillThread = 0x00000000
	retTrap       = 0x00030000
	retErrno      = 0x00050000
	retNotify     = 0x7fc00000
	retTrace      = 0x7ff00000
	retLog        = 0x7ffc0000
	retAllow      = 0x7fff0000
)

// maxErrno is MAX_ERRNO of linux/err.h: if a filter returns a greater error number, the kernel uses this one.
const maxErrno = 4095

// EPERM and ENOSYS as the kernel numbers them on every architecture. In package syscall, the numbers depend on the OS
// for which it is built.
const (
	eperm  = 1
	enosys = 38
)

// kinds holds, for each kind, its name and its SECCOMP_RET_* value without data.
var kinds = [...]struct {
	name string
	kind Kind
	ret  uint32
}{
	Unset:      {"", Unset, retKill}, // an unset action in a filter must not let a call pass
	Allow:      {"allow", Allow, retAllow},
	Log:        {"log", Log, retLog},
	Trace:      {"trace", Trace, retTrace},
	Notify:     {"notify", Notify, retNotify},
	Errno:      {"errno", Errno, retErrno},
	Trap:       {"trap", Trap, retTrap},
	KillThread: {"kill-thread", KillThread, retKillThread},
	Kill:       {"kill", Kill, retKill},
}

// Ret returns the action's SECCOMP_RET_* value with its data. An unset action kills.
func (a Action) Ret() uint32 {
	if int(a.Kind) >= len(kinds) {
		return retKill
	}
	return kinds[a.Kind].ret | uint32(a.Errno)
}

// ActionOf returns the action of a SECCOMP_RET_* value.
func ActionOf(ret uint32) Action {
	for _, k := range kinds[1:] {
		if k.ret == ret&0xffff0000 {
			return Action{k.kind, uint16(ret)}
		}
	}
	return Action{Kind: Kill} // the kernel also kills for a value that it does not know
}

// Passes reports whether the action lets the kernel execute the call.
func (a Action) Passes() bool { return a.Kind == Allow || a.Kind == Log }

// valid reports whether the action can be compiled.
func (a Action) valid() bool {
	switch a.Kind {
	case Errno:
		return a.Errno <= maxErrno
	case Trace, Trap:
		return true
	}
	return int(a.Kind) < len(kinds) && a.Errno == 0
}

// isAction reports whether a rule's text is an action and not a condition. The two cannot be confused, because no
// argument has the name of an action.
func isAction(s string) bool {
	name, _, _ := strings.Cut(strings.TrimSpace(s), "(")
	if name == "" {
		return false
	}
	for _, k := range kinds[1:] {
		if k.name == name {
			return true
		}
	}
	return false
}

// ParseAction reads "allow", "log", "kill", "kill-thread", "trap", "notify", "errno(EPERM)", "errno(1)", "trace(7)".
func ParseAction(s string) (Action, error) {
	name, arg, hasArg := strings.Cut(strings.TrimSpace(s), "(")
	for _, k := range kinds[1:] {
		if k.name != name {
			continue
		}
		if !hasArg {
			if k.kind == Errno {
				return Action{}, &Error{Msg: "errno needs a number or a name", Hint: "errno(EPERM)"}
			}
			return Action{Kind: k.kind}, nil
		}
		if !strings.HasSuffix(arg, ")") {
			return Action{}, &Error{Msg: "action " + quote(s) + ": missing )"}
		}
		return actionData(k.kind, strings.TrimSpace(arg[:len(arg)-1]))
	}
	return Action{}, &Error{Msg: "unknown action " + quote(s), Hint: "allow, log, kill, kill-thread, trap, notify, errno(NAME) or trace(NUMBER)"}
}

func actionData(k Kind, arg string) (Action, error) {
	if k != Errno && k != Trace && k != Trap {
		return Action{}, &Error{Msg: kinds[k].name + " takes no argument"}
	}
	if n, err := strconv.ParseUint(arg, 10, 16); err == nil && (arg == "0" || arg[0] != '0') {
		if k == Errno && n > maxErrno {
			return Action{}, &Error{Msg: "errno(" + arg + "): error numbers end at 4095"}
		}
		return Action{k, uint16(n)}, nil
	}
	if v, ok := constant(arg, AMD64); ok && k == Errno && strings.HasPrefix(arg, "E") && v.Bits <= maxErrno {
		return Action{k, uint16(v.Bits)}, nil
	}
	e := &Error{Msg: "unknown error number " + quote(arg)}
	if n := closest(strings.ToUpper(arg), tables.ErrnoNames[1:]); n != "" {
		e.Hint = "did you mean " + n + "?"
	}
	return Action{}, e
}

// quote is strconv.Quote, but shortens a long text.
func quote(s string) string {
	if len(s) > 60 {
		return strconv.Quote(s[:60]) + "…"
	}
	return strconv.Quote(s)
}

// String returns the text that ParseAction reads, or "" for an unset action.
func (a Action) String() string {
	if int(a.Kind) >= len(kinds) {
		return "kind(" + strconv.Itoa(int(a.Kind)) + ")"
	}
	name := kinds[a.Kind].name
	switch {
	case a.Kind == Errno && int(a.Errno) < len(tables.ErrnoNames) && tables.ErrnoNames[a.Errno] != "":
		return name + "(" + tables.ErrnoNames[a.Errno] + ")"
	case a.Kind == Errno, a.Errno != 0:
		return name + "(" + strconv.Itoa(int(a.Errno)) + ")"
	}
	return name
}
