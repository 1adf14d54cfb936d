package policy

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"cordon/policy/filter"
	"cordon/policy/phrase"
	"cordon/policy/yaml"
)

// rules reads the list of rules: {CALL: EXPR}, with an optional else and an optional quiet.
func (d *decoder) rules(n *yaml.Node, out *[]SyscallRule, path string) {
	if !d.wants(n, yaml.SeqNode, path) {
		return
	}
	for i, it := range n.Items {
		at := phrase.Index(path, i)
		if !d.wants(it.Val, yaml.MapNode, at) {
			continue
		}
		if r, ok := d.rule(it.Val, at); ok {
			*out = append(*out, r)
		}
	}
}

func (d *decoder) rule(n *yaml.Node, path string) (SyscallRule, bool) {
	r := SyscallRule{Pos: d.pos(n)}
	had := len(d.errs)
	d.eachEntry(n, path, func(it *yaml.Item) {
		if it.Key.Text == "quiet" {
			r.Quiet = d.oneOf(it.Val, join(path, "quiet"), "true or false", "", yaml.BoolScalar) && it.Val.Text == "true"
			return
		}
		s, ok := d.str(it.Val, join(path, it.Key.Text))
		switch {
		case !ok:
		case it.Key.Text == "else":
			r.Else = s
			d.fault(it.Val, join(path, "else"), checkAction(s))
		case r.Call != "":
			d.fail(it.Key, path, Quote(it.Key.Text)+" and "+Quote(r.Call)+" in one rule", "each call is an item of its own")
		default:
			r.Call, r.Expr = it.Key.Text, s
			d.fault(it.Key, path, checkCall(r.Call))
			d.expr(it.Val, join(path, r.Call), r)
		}
	})
	if r.Call == "" && len(d.errs) == had {
		d.fail(n, path, "a rule names a call", `such as {socket: "family == AF_UNIX"}`)
	}
	if len(d.errs) == had {
		d.fault(n, path, r.checkQuiet())
	}
	return r, len(d.errs) == had
}

// expr checks a rule's expression. If the expression is on one line, the error points to the place within it.
func (d *decoder) expr(n *yaml.Node, path string, r SyscallRule) {
	f, col := checkExpr(r.Call, r.Expr)
	if f == nil {
		return
	}
	at := *n
	if col > 0 && n.Style != '|' && !n.Folded {
		at.Col += col - 1
		if n.Style != 0 {
			at.Col++
		}
	}
	d.fault(&at, path, f)
}

func checkCall(s string) *fault {
	if group := strings.HasPrefix(s, "@"); group && filter.About(s) != "" || !group && filter.Known(s) {
		return nil
	} else if group {
		return bad(Quote(s)+" is not a group of system calls", meant(s))
	}
	return bad(Quote(s)+" is not a system call", meant(s))
}

func meant(name string) string {
	if near := filter.Suggest(name); near != "" {
		return "did you mean " + Quote(near) + "?"
	}
	return ""
}

// checkAction accepts the actions that a profile may use. It refuses notify and trace, because no program listens to
// them yet.
func checkAction(s string) *fault {
	a, err := filter.ParseAction(s)
	if err != nil {
		f, _ := fromFilter(err)
		return f
	}
	if a.Kind == filter.Notify || a.Kind == filter.Trace {
		return bad(Quote(s)+" is not supported yet", "use allow, errno(NAME), kill or log")
	}
	if a.Kind == filter.Errno && (a.Errno == 0 || a.Errno >= kernelErrno) {
		return bad(Quote(s)+" does not make the call fail",
			"0 tells the program that it was done, numbers from 512 make the kernel repeat it; such as errno(EPERM)")
	}
	return nil
}

// kernelErrno is the first of the error numbers that only the kernel uses: ERESTARTSYS and the numbers after it never
// reach a program.
const kernelErrno = 512

// checkExpr checks the condition of a rule, or its action. col is the column of the error in expr, counted from 1, or
// 0 if it is unknown.
func checkExpr(call, expr string) (f *fault, col int) {
	if filter.About(call) == "" && !filter.Known(call) {
		return nil, 0 // another check reports an unknown call
	}
	if err := filter.CheckRule(filter.Rule{Call: call, Expr: expr}); err != nil {
		return fromFilter(err)
	}
	if _, err := filter.ParseAction(expr); err == nil {
		return checkAction(expr), 0
	}
	return nil, 0
}

func fromFilter(err error) (f *fault, col int) {
	var e *filter.Error
	if errors.As(err, &e) {
		return bad(e.Msg, e.Hint), e.Col
	}
	return bad(err.Error(), ""), 0
}

const nativeArch = "native"

func checkArch(s string) *fault {
	if _, ok := filter.ParseArch(s); ok || s == nativeArch {
		return nil
	}
	known := []string{nativeArch, "amd64", "arm64", "riscv64", "i386", "arm", "x32"}
	hint := didYouMean(s, known)
	if hint == "" {
		hint = "it is " + oneOf(known)
	}
	return bad(Quote(s)+" is not an architecture", hint)
}

// FilterOnce returns the same as Filter, with the effect of `exec: once` for a launcher that passes the nonce. The
// filter denies execve. It also denies execveat, unless the sixth argument is the nonce. The kernel ignores that
// argument.
func (p *Profile) FilterOnce(nonce uint64) (filter.Spec, error) {
	spec, err := p.Filter()
	if err == nil && p.Syscalls.Exec == ExecOnce {
		spec.Deny = append(spec.Deny, filter.Item{Name: "execve"})
		spec.Rules = append(spec.Rules, OwnExec(nonce))
	}
	return spec, err
}

// ProgramFilter returns the filter as it applies to the program. With `exec: once` the program cannot call execve or
// execveat, because it does not know the launcher's nonce.
func (p *Profile) ProgramFilter() (filter.Spec, error) {
	spec, err := p.Filter()
	if err == nil && p.Syscalls.Exec == ExecOnce {
		from := p.Source("syscalls.exec").Short()
		spec.Deny = append(spec.Deny, filter.Item{Name: "execve", From: from}, filter.Item{Name: "execveat", From: from})
	}
	return spec, err
}

// OwnExec returns a rule that allows execveat if the call passes the nonce.
func OwnExec(nonce uint64) filter.Rule {
	return filter.Rule{Call: "execveat", Expr: "nonce == 0x" + strconv.FormatUint(nonce, 16)}
}

// Filter returns the section in the form of package filter, without the rules that follow from the rest of the profile.
// It also leaves out exec, because the launcher itself calls execve or execveat once, and only the launcher can
// distinguish its own call from the program's. The section must be valid.
func (s *Syscalls) Filter() (filter.Spec, error) {
	spec := filter.Spec{Allow: filterItems(s.Allow), Deny: filterItems(s.Deny)}
	var err error
	if spec.Default, err = action(s.Default); err != nil {
		return filter.Spec{}, err
	}
	if spec.Unknown, err = action(s.Unknown); err != nil {
		return filter.Spec{}, err
	}
	for _, name := range s.Arches {
		if arch, ok := filter.ParseArch(name); ok {
			spec.Foreign = append(spec.Foreign, arch)
		}
	}
	spec.Rules = make([]filter.Rule, len(s.Rules))
	for i, r := range s.Rules {
		spec.Rules[i] = filter.Rule{Call: r.Call, Expr: r.Expr, Quiet: r.Quiet, From: r.Pos.Short()}
		if spec.Rules[i].Else, err = action(r.Else); err != nil {
			return filter.Spec{}, err
		}
	}
	spec.Narrow(selfFilter(&spec))
	return spec, nil
}

// selfFilter returns the rule for prctl(PR_SET_SECCOMP), which installs a filter like seccomp(2). If a profile does not
// let a program call seccomp(2), the older call must be denied too. Otherwise the program could install a filter that
// answers its calls before the launcher sees them. selfFilter returns no rule if seccomp is allowed with all arguments,
// or if prctl is never allowed.
func selfFilter(spec *filter.Spec) []filter.Rule {
	seccomp, from := whenPasses(spec, "seccomp")
	if seccomp == always {
		return nil
	}
	if prctl, _ := whenPasses(spec, "prctl"); prctl == never {
		return nil
	}
	return []filter.Rule{{Call: "prctl", Expr: "op != PR_SET_SECCOMP", From: from}}
}

// passes says with which arguments a call is allowed: none, some, or all.
type passes uint8

const (
	never passes = iota
	sometimes
	always
)

// whenPasses says with which arguments a call is allowed, and which line denies the call with other arguments. from is
// "" if only the default action denies it.
func whenPasses(spec *filter.Spec, call string) (p passes, from string) {
	for _, x := range spec.Deny {
		if filter.Names(x.Name, call) {
			return never, x.From
		}
	}
	if spec.Default.Passes() ||
		slices.ContainsFunc(spec.Allow, func(x filter.Item) bool { return filter.Names(x.Name, call) }) {
		p = always
	}
	for _, r := range spec.Rules {
		if !filter.Names(r.Call, call) {
			continue
		}
		a, err := filter.ParseAction(r.Expr)
		switch {
		case err != nil: // a condition
			p, from = sometimes, r.From
		case !a.Passes():
			return never, r.From
		case p == never:
			p = always
		}
	}
	return p, from
}

func filterItems(list []SyscallItem) []filter.Item {
	out := make([]filter.Item, len(list))
	for i, x := range list {
		out[i] = filter.Item{Name: x.Name, From: x.Pos.Short()}
	}
	return out
}

// action parses an action. It returns the unset action for "".
func action(s string) (filter.Action, error) {
	if s == "" {
		return filter.Action{}, nil
	}
	return filter.ParseAction(s)
}

func (v *validator) syscalls() {
	s := &v.p.Syscalls
	call := func(x SyscallItem) (*fault, Pos) { return checkCall(x.Name), x.Pos }
	check(v, "syscalls.allow", s.Allow, call)
	check(v, "syscalls.deny", s.Deny, call)
	check(v, "syscalls.arches", s.Arches, func(a string) (*fault, Pos) { return checkArch(a), v.from("syscalls.arches") })
	check(v, "syscalls.rules", s.Rules, func(r SyscallRule) (*fault, Pos) { return r.check(), r.Pos })
}

func (r *SyscallRule) check() *fault {
	if f := checkCall(r.Call); f != nil {
		return f
	}
	if r.Else != "" {
		if f := checkAction(r.Else); f != nil {
			return f
		}
	}
	if f, _ := checkExpr(r.Call, r.Expr); f != nil {
		return f
	}
	return r.checkQuiet()
}

// checkQuiet refuses quiet on a rule that denies nothing with an errno, because a run lists only calls that were
// denied with an errno.
func (r *SyscallRule) checkQuiet() *fault {
	if !r.Quiet {
		return nil
	}
	denies := r.Else
	if _, err := filter.ParseAction(r.Expr); err == nil {
		denies = r.Expr
	}
	a, err := action(denies)
	switch {
	case err != nil || a.Kind == filter.Unset || a.Kind == filter.Errno:
		return nil
	case a.Passes():
		return bad("quiet: true does nothing here: "+denies+" denies no call", "leave it out, or write errno(NAME)")
	}
	return bad("quiet: true does nothing here: a run cannot name what "+denies+" ends", "leave it out, or write errno(NAME)")
}

// SetIDPlace is the position that cordon shows for the rules about set-id bits, which come from no line of a profile.
const SetIDPlace = "set-id bits"

// SetIDRemedy says how a task can still make files with set-id bits.
const SetIDRemedy = "no flag: " + setIDWhere

const setIDWhere = "files with set-id bits are made where nobody else can reach them, " +
	"in a root file system (--root DIR) below a directory of yours with mode 0700"

// SetIDMaking is the text that takes the place of SetIDRemedy for a call that makes a file with set-id bits.
const SetIDMaking = "no flag: make the file without the bits and chmod it then, which is done without them (GNU tar and cp do so, " +
	"busybox tar does not); with the bits, " + setIDWhere

// SetIDCapability is the capability that stands for the permission to make files with set-user-ID and set-group-ID
// bits. If a profile does not keep this capability, its filter has the rules about set-id bits.
const SetIDCapability = "FSETID"

// setIDRules prevent a task from making a file that gives another user's rights to everyone who runs it. The sandbox's
// mounts ignore set-id bits, but the file is also visible outside the sandbox. mkdir needs no rule, because the kernel
// drops the bits. The number is __O_TMPFILE, which is O_TMPFILE without the bit O_DIRECTORY.
var setIDRules = [...]filter.Rule{
	{Call: "chmod", Expr: noSetID, From: SetIDPlace},
	{Call: "fchmod", Expr: noSetID, From: SetIDPlace},
	{Call: "fchmodat", Expr: noSetID, From: SetIDPlace},
	{Call: "fchmodat2", Expr: noSetID, From: SetIDPlace},
	{Call: "creat", Expr: noSetID, From: SetIDPlace},
	{Call: "mknod", Expr: noSetID, From: SetIDPlace},
	{Call: "mknodat", Expr: noSetID, From: SetIDPlace},
	{Call: "open", Expr: noNewSetID, From: SetIDPlace},
	{Call: "openat", Expr: noNewSetID, From: SetIDPlace},
	// openat2 passes its mode behind a pointer, which a filter cannot read. Programs that get ENOSYS use openat
	// instead.
	{Call: "openat2", Expr: "errno(ENOSYS)", From: SetIDPlace},
}

const (
	noSetID    = "mode & 06000 == 0"
	noNewSetID = "flags & (O_CREAT | 0x400000) == 0 || mode & 06000 == 0"
)

// MaySetID reports whether the profile lets the task make files with set-id bits.
func (p *Profile) MaySetID() bool {
	return slices.ContainsFunc(p.Capabilities.Keep, func(c Capability) bool { return c.Name == SetIDCapability })
}

// Filter returns the profile's system calls in the form of package filter: the section, and the rules about set-id
// bits.
func (p *Profile) Filter() (filter.Spec, error) {
	spec, err := p.SectionFilter()
	if err == nil && !p.MaySetID() {
		spec.Narrow(setIDRules[:])
	}
	return spec, err
}

// Prebuilt holds the filters of a section of system calls. They are compiled when cordon is built, so that a launch
// need not compile them. [filter.Compile] makes them from [Profile.Filter], and [filter.Encode] encodes them.
type Prebuilt struct {
	Syscalls *Syscalls // the section from which they were made
	SetID    bool      // what MaySetID returns for the profile
	Programs []PrebuiltProgram
}

// PrebuiltProgram is the filter for one architecture.
type PrebuiltProgram struct {
	Arch   filter.Arch
	Report bool // a listener gets the denied calls, and the launcher's own call is execve
	Insns  string
}

// Holds reports whether the prebuilt filters fit the profile p. It compares the whole section.
func (b *Prebuilt) Holds(p *Profile) bool {
	s, t := b.Syscalls, &p.Syscalls
	return !p.Nest && s.Default == t.Default && s.Unknown == t.Unknown && s.Exec == t.Exec && b.SetID == p.MaySetID() &&
		slices.Equal(s.Arches, t.Arches) && slices.Equal(s.Allow, t.Allow) && slices.Equal(s.Deny, t.Deny) && slices.Equal(s.Rules, t.Rules)
}

// PrebuiltFilter returns the prebuilt filter if it fits the profile, otherwise "".
func (p *Profile) PrebuiltFilter(arch filter.Arch, report bool) string {
	if p.Prebuilt == nil || p.Syscalls.Exec == ExecOnce || !p.Prebuilt.Holds(p) {
		return ""
	}
	for i := range p.Prebuilt.Programs {
		if b := &p.Prebuilt.Programs[i]; b.Arch == arch && b.Report == report {
			return b.Insns
		}
	}
	return ""
}
