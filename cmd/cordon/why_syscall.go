package main

import (
	"cmp"
	"errors"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"cordon/policy"
	"cordon/policy/filter"
)

// callInfo is the system call that was asked about.
type callInfo struct {
	Name  string  `json:"name,omitempty"` // absent for a number that no table has
	Arch  string  `json:"arch"`
	Nr    uint32  `json:"nr"`              // x32's without its bit
	Since string  `json:"since,omitempty"` // the kernel release; absent for the oldest
	Args  []asked `json:"args"`
}

// asked is an argument, known or not.
type asked struct {
	Name      string  `json:"name"`
	Text      string  `json:"text,omitempty"`
	Value     *uint64 `json:"value,omitempty"` // the register; absent where it is not known
	Inspected bool    `json:"inspected"`       // by some condition that could decide; never what a pointer points to
}

// step is an instruction of the filter that was executed.
type step struct {
	Index int    `json:"index"`
	Asm   string `json:"asm"`
	Did   string `json:"did,omitempty"`
	Note  string `json:"note,omitempty"`
}

func (c *callInfo) String() string {
	s := "number " + strconv.FormatUint(uint64(c.Nr), 10)
	if c.Name != "" {
		s = c.Name + " is " + s
	}
	s += " on " + c.Arch
	if c.Since != "" {
		s += ", since Linux " + c.Since
	}
	return s
}

// whySyscall answers for the layer seccomp.
func (u *ui) whySyscall(f *whyFlags, p *policy.Profile, what string) (*answer, error) {
	native, abi, err := archesOf(f.arch)
	if err != nil {
		return nil, err
	}
	q, err := filter.ParseQuery(what, abi)
	if err != nil {
		return nil, queryError(what, err)
	}
	spec, err := p.ProgramFilter()
	if err != nil {
		return nil, err
	}
	found, err := filter.Ask(spec, native, q)
	if err != nil {
		return nil, err
	}
	w := &syscallWhy{f: f, profile: p, spec: spec, native: native, q: q}
	a := &answer{Layer: string(policy.LayerSeccomp), Call: w.call()}
	for i := range found {
		o := w.outcome(&found[i])
		if len(found) == 1 && !o.Allowed {
			o.Fix = w.fix(&found[i].Verdict)
		}
		if len(found) > 1 && found[i].Found {
			o.Example = w.example(&found[i])
		}
		a.Outcomes = append(a.Outcomes, o)
	}
	a.Verdict = verdict(a.Outcomes)
	a.Notes = w.notes()
	if err := w.beyond(a); err != nil {
		return nil, err
	}
	a.Path, err = w.path(found)
	return a, err
}

// archesOf is the architecture that the filter is for, and the one whose call is asked about.
func archesOf(name string) (native, abi filter.Arch, err error) {
	if name == "" {
		name = runtime.GOARCH
	}
	abi, ok := filter.ParseArch(name)
	if !ok {
		return 0, 0, &cliError{err: errors.New("no system call table for " + policy.Quote(name)), hint: "--arch amd64, i386, x32, arm64, arm or riscv64"}
	}
	switch abi {
	case filter.I386, filter.X32:
		return filter.AMD64, abi, nil
	case filter.ARM:
		return filter.ARM64, abi, nil
	}
	return abi, abi, nil
}

// queryError puts the call and a mark under the place in front of what is wrong with it.
func queryError(what string, err error) error {
	var e *filter.Error
	if !errors.As(err, &e) {
		return err
	}
	return &policy.Error{Msg: "why: " + e.Msg, Hint: e.Hint, Line: what, Pos: policy.Pos{Col: e.Col}}
}

// verdict sums the outcomes up.
func verdict(all []outcome) string {
	yes := 0
	for _, o := range all {
		if o.Allowed {
			yes++
		}
	}
	switch yes {
	case len(all):
		return verdictAllow
	case 0:
		return verdictDeny
	}
	return verdictDepends
}

// syscallWhy is one question about a system call.
type syscallWhy struct {
	f       *whyFlags
	profile *policy.Profile
	spec    filter.Spec
	native  filter.Arch
	q       *filter.Query
}

// rules are the texts of the rules that are about the call.
func (w *syscallWhy) rules(v *filter.Verdict) (texts []string) {
	for _, i := range v.Rules {
		r := &w.spec.Rules[i]
		texts = append(texts, r.Call+": "+r.Expr)
	}
	return texts
}

func (w *syscallWhy) call() *callInfo {
	c := &callInfo{Name: w.q.Call, Arch: w.q.ABI.String(), Nr: w.q.Number(), Since: filter.Since(w.q.Call), Args: []asked{}}
	read := map[string]bool{}
	for _, r := range w.spec.Rules {
		if r.Call == w.q.Call {
			for _, name := range identifiers(r.Expr) {
				read[name] = true
			}
		}
	}
	n := len(filter.Args(w.q.Call))
	for i := range w.q.Args {
		a := &w.q.Args[i]
		inspected := read[a.Name] || read["reg"+strconv.Itoa(i)]
		if i >= n && a.Text == "" && !inspected {
			continue
		}
		x := asked{Name: a.Name, Text: a.Text, Inspected: inspected}
		if a.Known {
			x.Value = &a.Value
		}
		c.Args = append(c.Args, x)
	}
	return c
}

// identifiers are the names in an expression.
func identifiers(expr string) []string {
	return strings.FieldsFunc(expr, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

func (w *syscallWhy) outcome(o *filter.Outcome) outcome {
	out := outcome{Action: o.Action.String(), Why: o.Why, From: o.From, Rules: w.rules(&o.Verdict)}
	switch o.By {
	case filter.ByDefault:
		out.From = sourceOf(w.profile, "syscalls.default")
	case filter.ByUnknown:
		out.From = sourceOf(w.profile, "syscalls.unknown")
	}
	out.Allowed = o.Action.Kind == filter.Allow || o.Action.Kind == filter.Log
	if out.From == nil {
		out.From = []string{}
	}
	if len(out.Rules) == 1 && !out.Allowed && strings.HasPrefix(out.Why, "not ") {
		out.Why = "the rule does not hold"
	}
	return out
}

// sourceOf is where a scalar was set; empty for a built-in default.
func sourceOf(p *policy.Profile, path string) []string {
	if at := p.Source(path); at != (policy.Pos{}) {
		return []string{at.Short()}
	}
	return nil
}

// example is the call with what is missing filled in.
func (w *syscallWhy) example(o *filter.Outcome) string {
	var exprs []string
	for _, r := range w.spec.Rules {
		if r.Call == w.q.Call {
			exprs = append(exprs, r.Expr)
		}
	}
	var args []string
	for i, a := range w.call().Args {
		switch {
		case a.Text != "" && a.Text != "_":
			args = append(args, a.Text)
		case a.Inspected:
			args = append(args, a.Name+"="+w.q.Spell(o.Args[i], exprs...))
		}
	}
	return w.q.Call + "(" + strings.Join(args, ", ") + ")"
}

// notes says what the filter cannot see.
func (w *syscallWhy) notes() (notes []string) {
	for i := range w.q.Args {
		if a := &w.q.Args[i]; a.Pointer && a.Text != "" && !a.Known {
			notes = append(notes, a.Name+" is not inspected: it is a pointer, and what it points to may change after the check")
		}
	}
	if since := filter.Since(w.q.Call); since >= "5" { // cordon itself needs 5.12
		notes = append(notes, "a kernel older than "+since+" answers ENOSYS where the filter allows it")
	}
	if w.once() {
		notes = append(notes, "syscalls.exec once ("+w.profile.Source("syscalls.exec").Short()+") lets only the launcher's own pass; --exec any")
	}
	if setsMode(w.q.Call) && !w.profile.MaySetID() {
		notes = append(notes, "with set-id bits the launcher makes the call, where denied calls are reported: a directory gets them, a file its mode without them")
	}
	return notes
}

// once reports whether exec: once decides the call.
func (w *syscallWhy) once() bool {
	return w.profile.Syscalls.Exec == policy.ExecOnce && (w.q.Call == "execve" || w.q.Call == "execveat")
}

// path is the way through the filter: to its end, or where what is missing decides, up to there.
func (w *syscallWhy) path(found []filter.Outcome) ([]step, error) {
	prog, err := filter.Compile(w.spec, w.native)
	if err != nil {
		return nil, err
	}
	notes, err := filter.Notes(w.spec, prog)
	if err != nil {
		return nil, err
	}
	var common []step
	for _, o := range found {
		if !o.Found {
			continue
		}
		d := w.q.Data(o.Args)
		var steps []step
		for _, s := range prog.Trace(&d, notes) {
			steps = append(steps, step(s))
		}
		if common == nil {
			common = steps
		}
		common = common[:shared(common, steps)]
	}
	return common, nil
}

// shared is how many instructions two ways have in common at their beginning.
func shared(a, b []step) int {
	n := 0
	for n < len(a) && n < len(b) && a[n].Index == b[n].Index {
		n++
	}
	return n
}

func writePath(b *strings.Builder, path []step) {
	asm, did := 0, 0
	for _, s := range path {
		asm, did = max(asm, len(s.Asm)), max(did, len(s.Did))
	}
	b.WriteString("  the way through the filter, " + strconv.Itoa(len(path)) + " instructions:\n")
	for _, s := range path {
		index := strconv.Itoa(s.Index)
		line := "    " + strings.Repeat(" ", max(0, 4-len(index))) + index + "  " + pad(s.Asm, asm+2) + pad(s.Did, did+2) + clean(s.Note)
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

// maxFixes is how many rules are replaced before it is given up.
const maxFixes = 8

// fix looks for the flags that allow the call, and tries them: as many times as something else denies it then.
func (w *syscallWhy) fix(v *filter.Verdict) *fix {
	none := &fix{Note: "no flag was found that allows this call and no other"}
	var fields []fieldValue
	now, profile := *v, w.profile
	for range maxFixes {
		more, note := w.next(profile, &now, len(fields) > 0)
		if note != "" {
			return &fix{Note: note}
		}
		fields = append(fields, more...)
		over, err := overlay(fields)
		if err != nil {
			return none
		}
		profile = policy.Merge(w.profile, over)
		spec, err := profile.ProgramFilter()
		if policy.Validate(profile) != nil || err != nil {
			return none
		}
		found, err := filter.Ask(spec, w.native, w.q)
		if err != nil || len(found) > 1 {
			return none
		}
		if now = found[0].Verdict; now.Action.Kind == filter.Allow {
			yaml := string(policy.Show(bare(over)))
			if w.once() && len(fields) == 1 { // any is the zero value, which is not shown
				yaml = "syscalls: {exec: any}\n"
			}
			return &fix{Flags: flagWords(fields), YAML: yaml}
		}
	}
	return none
}

// next is what to change first, or why nothing helps.
func (w *syscallWhy) next(p *policy.Profile, v *filter.Verdict, tried bool) (fields []fieldValue, note string) {
	if w.once() && p.Syscalls.Exec == policy.ExecOnce {
		return []fieldValue{{"exec", "any"}}, ""
	}
	switch v.By {
	case filter.ByDefault:
		return []fieldValue{{"allow-syscall", w.q.Call}}, ""
	case filter.ByArch:
		return []fieldValue{{"arch", w.q.ABI.String()}}, ""
	case filter.ByRule:
		return w.widen(p, v, tried)
	case filter.ByDeny:
		return nil, "no flag allows it: a denial holds wherever it was inherited from, and only grows. " + w.denier(v)
	case filter.ByMultiplexer:
		return nil, "it is open only where every call that it stands for is allowed without conditions"
	}
	return nil, "a number that no table has cannot be allowed alone; --syscall-unknown decides all of them"
}

// denier says where the denial would have to be taken out.
func (w *syscallWhy) denier(v *filter.Verdict) string {
	var inherited []string
	for _, at := range v.From {
		file, _, _ := strings.Cut(strings.TrimPrefix(at, "embedded:"), ":")
		switch {
		case strings.HasPrefix(at, "--"):
			return "Leave out " + at + "."
		case !strings.HasPrefix(at, "embedded:"):
			return "It can be taken out at " + at + "."
		case !slices.Contains(inherited, strings.TrimSuffix(file, ".yaml")):
			inherited = append(inherited, strings.TrimSuffix(file, ".yaml"))
		}
	}
	return "Write a profile that does not extend " + strings.Join(inherited, ", ") + "."
}

// widen replaces the rule that fails by one that also allows this very call.
func (w *syscallWhy) widen(p *policy.Profile, v *filter.Verdict, tried bool) (fields []fieldValue, note string) {
	if slices.Contains(v.From, policy.SetIDPlace) {
		return nil, policy.SetIDRemedy
	}
	if v.Rules[0] >= len(p.Syscalls.Rules) { // the profile has no such line: see policy.Syscalls.Filter
		if slices.ContainsFunc(p.Syscalls.Deny, func(x policy.SyscallItem) bool { return filter.Names(x.Name, "seccomp") }) {
			return nil, "prctl(PR_SET_SECCOMP) counts as seccomp, and a denial only grows. " + w.denier(v)
		}
		return []fieldValue{{"allow-syscall", "seccomp"}}, ""
	}
	r := p.Syscalls.Rules[v.Rules[0]]
	if strings.HasPrefix(r.Call, "@") {
		return nil, "a rule for the whole group " + r.Call + " decides it"
	}
	fields = []fieldValue{{"remove", "syscalls=" + r.Call + ": " + r.Expr}}
	if _, err := filter.ParseAction(r.Expr); err == nil {
		return fields, ""
	}
	also := w.exactly(r.Expr)
	if also == "" {
		return nil, "the arguments that the rule is about are not all known"
	}
	if r.Else != "" && !onlyErrno(r.Else, p.Syscalls.Default) {
		return nil, "a flag cannot say else: " + r.Else + "; in a file the rule would be " + r.Call + ": (" + r.Expr + ") || " + also
	}
	if tried && strings.Contains(r.Expr, also) {
		return nil, "the rule for " + r.Call + " cannot be widened for this call"
	}
	return append(fields, fieldValue{"rule", r.Call + ": (" + r.Expr + ") || " + also}), ""
}

// onlyErrno reports whether a rule without its other action would differ from it in the error number alone.
func onlyErrno(other, deflt string) bool {
	a, err := filter.ParseAction(other)
	b, errDefault := filter.ParseAction(cmp.Or(deflt, "errno(EPERM)"))
	return err == nil && errDefault == nil && a.Kind == filter.Errno && b.Kind == filter.Errno
}

// exactly is the condition that holds for these arguments, as far as the expression looks at them.
func (w *syscallWhy) exactly(expr string) string {
	var terms []string
	read := identifiers(expr)
	for i := range w.q.Args {
		a := &w.q.Args[i]
		for _, name := range []string{a.Name, "reg" + strconv.Itoa(i)} {
			switch {
			case !slices.Contains(read, name):
			case !a.Known:
				return ""
			default:
				terms = append(terms, name+" == "+w.spelled(a))
			}
			if a.Name == name && strings.HasPrefix(name, "reg") {
				break
			}
		}
	}
	return strings.Join(terms, " && ")
}

// spelled is the argument as it was asked about, where a rule may say the same.
func (w *syscallWhy) spelled(a *filter.QueryArg) string {
	if a.Text != "NULL" && filter.ParseExpr("read", "reg0 == "+a.Text) == nil {
		return a.Text
	}
	return "0x" + strconv.FormatUint(a.Value, 16)
}

func flagWords(fields []fieldValue) (words []string) {
	for _, f := range fields {
		words = append(words, "--"+f.name, f.value)
	}
	return words
}

// bare is a copy without the places of its values, which are flags that nobody has written.
func bare(p *policy.Profile) *policy.Profile {
	q := &policy.Profile{Network: p.Network, Limits: p.Limits, Namespaces: p.Namespaces}
	for _, x := range p.Mounts {
		x.Pos = policy.Pos{}
		q.Mounts = append(q.Mounts, x)
	}
	for _, x := range p.Capabilities.Keep {
		q.Capabilities.Keep = append(q.Capabilities.Keep, policy.Capability{Name: x.Name})
	}
	for _, x := range p.Capabilities.Ambient {
		q.Capabilities.Ambient = append(q.Capabilities.Ambient, policy.Capability{Name: x.Name})
	}
	q.Landlock = policy.Landlock{Read: barePaths(p.Landlock.Read), Write: barePaths(p.Landlock.Write), Execute: barePaths(p.Landlock.Execute)}
	for _, x := range p.Syscalls.Allow {
		q.Syscalls.Allow = append(q.Syscalls.Allow, policy.SyscallItem{Name: x.Name})
	}
	for _, x := range p.Syscalls.Rules {
		q.Syscalls.Rules = append(q.Syscalls.Rules, policy.SyscallRule{Call: x.Call, Expr: x.Expr, Else: x.Else})
	}
	for _, x := range p.Remove {
		q.Remove = append(q.Remove, policy.Removal{Section: x.Section, Value: x.Value, Expr: x.Expr})
	}
	q.Syscalls.Arches = p.Syscalls.Arches
	return q
}

func barePaths(list policy.Opt[[]policy.PathItem]) policy.Opt[[]policy.PathItem] {
	out := policy.Opt[[]policy.PathItem]{Set: list.Set}
	for _, x := range list.V {
		out.V = append(out.V, policy.PathItem{Path: x.Path})
	}
	return out
}
