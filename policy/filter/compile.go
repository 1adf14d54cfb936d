package filter

import "errors"

// Compile makes the filter for a kernel of the given architecture. The error is an Errors.
func Compile(spec Spec, arch Arch) (*Program, error) {
	return nil, errors.New("not yet")
}

// Explain says what the Spec decides for one call, and by which of its items or rules.
func Explain(spec Spec, arch Arch, d Data) (Verdict, error) {
	return Verdict{}, errors.New("not yet")
}

// Run interprets the program as the kernel would. ret is the SECCOMP_RET_* value with its data; path lists the
// instructions executed, appended to path[:0]; a nil path is not recorded.
func (p *Program) Run(d *Data, path *[]int) (ret uint32) { return 0 }

// Asm prints the program in the kernel's BPF assembler syntax (Documentation/networking/filter.rst).
func (p *Program) Asm() string { return "" }

// Ret is the action's SECCOMP_RET_* value with its data.
func (a Action) Ret() uint32 { return 0 }

// ParseAction reads "allow", "log", "kill", "kill-thread", "trap", "notify", "errno(EPERM)", "errno(1)", "trace(7)".
func ParseAction(s string) (Action, error) { return Action{}, errors.New("not yet") }

// String is what ParseAction reads.
func (a Action) String() string { return "" }

// Known reports whether a call of this name exists on any architecture in the tables.
func Known(call string) bool { return false }

// Number is the call's number on arch; for X32 without X32Bit.
func Number(arch Arch, call string) (nr uint32, ok bool) { return 0, false }

// Name is the call with that number on arch; for X32 without X32Bit.
func Name(arch Arch, nr uint32) (call string, ok bool) { return "", false }

// Since is the kernel release that introduced the call, "5.6"; "" for those older than 5.0.
func Since(call string) string { return "" }

// Suggest is the call or group (with @) whose name is closest to name, "" if none is close.
func Suggest(name string) string { return "" }

// Groups lists the groups' names, with @, sorted.
func Groups() []string { return nil }

// Members lists the calls of a group, sorted; nil if there is no such group.
func Members(group string) []string { return nil }

// About says in one line what a group is for; "" if there is no such group.
func About(group string) string { return "" }

// Args lists the names of the call's arguments as rules may use them; nil if the call is unknown.
func Args(call string) []string { return nil }

// CheckRule reports what is wrong with a rule: its call, its expression (an *Error with the column) or its action.
func CheckRule(r Rule) error { return nil }

// ParseExpr checks an expression over the arguments of call; the error is an *Error with the column.
func ParseExpr(call, expr string) error { return nil }
