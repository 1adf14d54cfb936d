package main

import (
	"errors"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"cordon/policy"
	"cordon/policy/advice"
	"cordon/policy/filter"
	"cordon/sandbox"
	"cordon/sandbox/host"
)

// callInfo is the system call in the question.
type callInfo struct {
	Name  string  `json:"name,omitempty"` // absent if the number is unknown
	Arch  string  `json:"arch"`
	Nr    uint32  `json:"nr"`              // on x32, the number without the x32 bit
	Since string  `json:"since,omitempty"` // the kernel release that introduced the call; absent for the oldest calls
	Args  []asked `json:"args"`
}

// asked is an argument of the call, with or without a value.
type asked struct {
	Name      string  `json:"name"`
	Text      string  `json:"text,omitempty"`
	Value     *uint64 `json:"value,omitempty"` // its value in the register; absent if unknown
	Inspected bool    `json:"inspected"`       // a condition that could decide uses it (not what it points to)
}

// step is an executed instruction of the filter.
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

// whySyscall answers a question about a system call by running the filter.
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
	if p.Namespaces.None { // a filter that cordon adds runs before the profile's
		h, err := host.Probe()
		if err != nil {
			return nil, err
		}
		placed, err := sandbox.NewQuery(p, h, &sandbox.Cmd{})
		if err != nil {
			return nil, err
		}
		spec.Rules = append(slices.Clip(spec.Rules), placed.PlaceRules()...)
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
			o.Fix = w.fix()
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

// archesOf returns the architecture of the filter, and the ABI of the call in the question.
func archesOf(name string) (native, abi filter.Arch, err error) {
	if name == "" {
		name = runtime.GOARCH
	}
	abi, ok := filter.ParseArch(name)
	if !ok {
		return 0, 0, &cliError{err: errors.New("no system call table for " + policy.Quote(name)), hint: "use --arch amd64, i386, x32, arm64, arm or riscv64"}
	}
	switch abi {
	case filter.I386, filter.X32:
		return filter.AMD64, abi, nil
	case filter.ARM:
		return filter.ARM64, abi, nil
	}
	return abi, abi, nil
}

// queryError returns an error that shows the call, with a mark below the wrong place.
func queryError(what string, err error) error {
	var e *filter.Error
	if !errors.As(err, &e) {
		return err
	}
	return &policy.Error{Msg: "why: " + e.Msg, Hint: e.Hint, Line: what, Pos: policy.Pos{Col: e.Col}}
}

// verdict sums up all outcomes in one word.
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

// rules returns the texts of the profile's rules about the call.
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
			for _, name := range advice.Identifiers(r.Expr) {
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

// sourceOf returns the position at which a value of the profile was set, or "" for a built-in default.
func sourceOf(p *policy.Profile, path string) []string {
	if at := p.Source(path); at != (policy.Pos{}) {
		return []string{at.Short()}
	}
	return nil
}

// example returns the call with example values for its missing arguments.
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

// notes returns what the reader should know besides the verdict, for example which arguments the filter cannot see.
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

// once reports whether exec: once decides about the call.
func (w *syscallWhy) once() bool {
	return w.profile.Syscalls.Exec == policy.ExecOnce && (w.q.Call == "execve" || w.q.Call == "execveat")
}

// path returns the executed instructions of the filter: to its end, or to the instruction that depends on a missing
// argument.
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

// shared returns how many instructions two paths have in common at their beginning.
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
