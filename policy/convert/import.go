package convert

import (
	"slices"
	"strconv"
	"strings"

	"cordon/policy"
	"cordon/policy/filter"
)

// ImportOptions say how to write the result.
type ImportOptions struct {
	Name  string // the profile's name; "" derives it from the file's name
	Bare  bool   // write only the syscalls section, for a profile that is merged over others
	Names bool   // write every call by its name, and no groups
}

// Import makes a profile from a seccomp profile in JSON. The result decides every call as the filter that runc makes
// from the file with libseccomp, except for the differences in the notes. A rule without conditions beats rules with
// conditions. If a call has several rules without conditions, the first one counts. In one entry, conditions on the
// same argument are alternatives. The error is a policy.Errors or a *policy.Error.
func Import(file string, data []byte, target Target, opts ImportOptions) (*Result, error) {
	text := strings.TrimPrefix(string(data), "\ufeff")
	root, err := parseJSON(file, text)
	if err != nil {
		return nil, err
	}
	d := &decoder{file: file, src: text, target: target}
	var s *seccomp
	if v, path := d.section(root); v != nil {
		s = d.seccomp(v, path)
	}
	if len(d.errs) > 0 {
		return nil, d.errs
	}
	im := &importer{decoder: d, seccomp: s, abis: target.abis(s.foreign), calls: map[string]*call{}}
	im.collect()
	im.arrange()
	if len(d.errs) > 0 {
		return nil, d.errs
	}
	im.compare()
	out, err := im.write(opts)
	if err != nil {
		return nil, err
	}
	sortNotes(d.notes)
	return &Result{Text: out, Notes: d.notes}, nil
}

// maxSuggested limits the search for similar names: Import suggests a name for at most so many unknown names. maxConds
// bounds how many conditions a call may have, because no filter can hold more.
const (
	maxSuggested = 50
	maxConds     = filter.MaxInsns
)

// importer turns entries of the file into rules for each call.
type importer struct {
	*decoder
	*seccomp
	abis  []filter.Arch
	calls map[string]*call
	order []*call // in the order of the file

	suggested int

	allow, deny []*call
	rules       []rule
}

// call is everything that the file says about a call.
type call struct {
	name  string
	fixed *decided // the action of an entry without conditions
	first *entry   // the entry of fixed, or the first entry
	from  []int    // the lines of the entries
	conds []cond
}

// cond is an action under a condition.
type cond struct {
	action decided
	all    []arg
	e      *entry
}

// rule is an item of syscalls.rules in a profile.
type rule struct {
	call, expr, other string
	from              []int
	arguments         bool // expr compares arguments
}

// canonical returns the name under which cordon's tables list a call.
func canonical(name string) string {
	if name == "sync_file_range2" {
		return "arm_sync_file_range"
	}
	return name
}

// collect sorts the contents of the entries by call.
func (im *importer) collect() {
	im.standIn(join("", "defaultAction"), &im.deflt)
	unknown := map[Note]bool{}
	for _, e := range im.entries {
		if e.action.Action == im.deflt.Action {
			im.note(e.path, e.at, names(e), Exact, Same, "it is what the default does")
			continue
		}
		im.standIn(e.path, &e.action)
		had := len(im.notes)
		var left *value
		for _, n := range e.names {
			if filter.Known(n.text) {
				im.add(canonical(n.text), e)
				continue
			}
			left = n
			class, effect := im.withoutName(e, n)
			if key := (Note{Rule: n.text, Class: class, Effect: effect}); !unknown[key] {
				unknown[key] = true
				im.noteUnknown(e, n)
			}
		}
		switch {
		case len(im.notes) > had:
		case left != nil: // an entry with an unknown name is not exact, even if an earlier note says so
			class, effect := im.withoutName(e, left)
			im.note(e.path, e.at, names(e), class, effect, "a name in it is of no call that is known, as said before")
		default:
			im.note(e.path, e.at, names(e), Exact, Same, "")
		}
	}
}

// withoutName returns the effect on an entry of omitting the unknown name n.
func (im *importer) withoutName(e *entry, n *value) (Class, Effect) {
	switch {
	case elsewhere(n.text):
		return Exact, Same
	case e.action.Passes():
		return Approximated, Tighter
	case im.deflt.Passes():
		return Dropped, Wider
	}
	return Approximated, Same
}

// standIn adds a note about an action that needs another program (a listener or a tracer), because there is none.
func (im *importer) standIn(path string, a *decided) {
	if a.as != "" {
		im.note(path, a.at, a.as, Approximated, Tighter, "nobody listens or traces here: "+a.String()+", as the kernel answers then")
	}
}

// names returns a short form of an entry's names.
func names(e *entry) string {
	s := e.names[0].text
	if n := len(e.names); n > 1 {
		s += " and " + strconv.Itoa(n-1) + " more"
	}
	return s
}

func (im *importer) noteUnknown(e *entry, n *value) {
	how := "no call of that name is known; it is left out, as runc does"
	if im.suggested++; im.suggested <= maxSuggested && !elsewhere(n.text) {
		if near := filter.Suggest(n.text); near != "" {
			how += "; did you mean " + policy.Quote(near) + "?"
		}
	}
	if elsewhere(n.text) {
		how = "a call of an architecture that has no table here"
	}
	class, effect := im.withoutName(e, n)
	im.note(e.path, n, n.text, class, effect, how)
}

// elsewhere reports whether a name belongs to a call that only architectures without a table have.
func elsewhere(name string) bool {
	for _, prefix := range []string{"s390_", "ppc_", "mips_", "osf_", "sparc_", "cacheflush_", "spu_", "atomic_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return slices.Contains([]string{"multiplexer", "rtas", "sched_get_affinity", "sched_set_affinity", "subpage_prot", "swapcontext",
		"switch_endian", "sys_debug_setcontext", "sysmips", "timerfd", "cachectl", "usr26", "usr32", "utrap_install", "getpagesize"}, name)
}

// add records what an entry says about one call.
func (im *importer) add(name string, e *entry) {
	c := im.calls[name]
	if c == nil {
		c = &call{name: name, first: e}
		im.calls[name] = c
		im.order = append(im.order, c)
	}
	if !slices.Contains(c.from, e.at.line) {
		c.from = append(c.from, e.at.line)
	}
	if len(e.args) == 0 {
		if c.fixed == nil {
			a := e.action
			c.fixed, c.first = &a, e
			c.from = []int{e.at.line}
		}
		return
	}
	if c.fixed != nil {
		return
	}
	var seen [6]bool
	for _, a := range e.args {
		if seen[a.index] { // a libseccomp rule compares each argument once, so runc makes several rules
			for _, a := range e.args {
				c.conds = append(c.conds, cond{e.action, []arg{a}, e})
			}
			return
		}
		seen[a.index] = true
	}
	c.conds = append(c.conds, cond{e.action, e.args, e})
}

// arrange puts every call into allow, deny or rules.
func (im *importer) arrange() {
	for _, c := range im.order {
		switch {
		case c.fixed == nil:
			im.conditional(c)
		case c.fixed.Kind == filter.Allow:
			im.allow = append(im.allow, c)
		case im.deflt.Passes() && c.fixed.Action == (filter.Action{Kind: filter.Errno, Errno: 1}):
			im.deny = append(im.deny, c)
		default:
			im.rules = append(im.rules, rule{call: c.name, expr: c.fixed.String(), from: c.from})
		}
	}
	im.newer()
	if old(im.abis) {
		im.denyExactly()
		im.own()
	}
}

// denyExactly turns a denial into a rule if the denial would also deny calls that the file does not deny.
func (im *importer) denyExactly() {
	kept := im.deny[:0]
	for _, c := range im.deny {
		reach := filter.Extended(filter.Spec{Deny: []filter.Item{{Name: c.name}}})
		if slices.ContainsFunc(reach, func(n string) bool {
			return im.calls[n] == nil || im.calls[n].fixed == nil || im.calls[n].fixed.Action != c.fixed.Action
		}) {
			im.rules = append(im.rules, rule{call: c.name, expr: c.fixed.String(), from: c.from})
			continue
		}
		kept = append(kept, c)
	}
	im.deny = kept
}

// own adds rules for calls that a rule for another call would also affect. In the file, a name means only that call.
func (im *importer) own() {
	spec := filter.Spec{}
	for _, r := range im.rules {
		spec.Rules = append(spec.Rules, filter.Rule{Call: r.call, Expr: r.expr})
	}
	for _, name := range filter.Extended(spec) {
		r := rule{call: name, expr: im.deflt.String()}
		if c := im.calls[name]; c != nil && slices.Contains(im.allow, c) {
			r.expr, r.from = "allow", c.from
		} else if c != nil && slices.Contains(im.deny, c) {
			continue
		}
		im.rules = append(im.rules, r)
	}
}

// conditional makes the rules for a call that has only conditions. A filter allows a call if the conditions of all its
// rules are true. Otherwise the call gets the most severe action of the rules whose conditions are false. So for each
// action except allow, conditional makes a rule with the action as else; it is true if none of the action's conditions
// is true. The last rule is true if any of the conditions is true, with the default as else.
func (im *importer) conditional(c *call) {
	if len(c.conds) > maxConds {
		im.fail(c.conds[maxConds].e.at, c.conds[maxConds].e.path, c.name+" has more than "+strconv.Itoa(maxConds)+" conditions", "no filter can hold them")
		return
	}
	var groups []decided
	of := map[filter.Action][]cond{}
	for _, k := range c.conds {
		if of[k.action.Action] == nil {
			groups = append(groups, k.action)
		}
		of[k.action.Action] = append(of[k.action.Action], k)
	}
	slices.SortStableFunc(groups, func(a, b decided) int { return int(b.Kind) - int(a.Kind) })
	deflt := im.deflt.Action
	for _, a := range groups {
		if a.Kind != filter.Allow {
			im.addRule(c, not(of[a.Action]), a.Action)
		}
	}
	if deflt.Kind != filter.Allow {
		im.addRule(c, any(c.conds), deflt)
	}
	im.noteOverlaps(c)
	im.noteWidths(c)
}

func (im *importer) addRule(c *call, expr string, other filter.Action) {
	r := rule{call: c.name, expr: expr, from: c.from, arguments: true}
	if other != im.deflt.Action || other.Passes() {
		r.other = other.String()
	}
	im.rules = append(im.rules, r)
}

// noteOverlaps adds a note if two conditions with different actions may hold together, because libseccomp does not
// define which of the actions counts.
func (im *importer) noteOverlaps(c *call) {
	for i := range c.conds {
		for j := range i {
			a, b := &c.conds[i], &c.conds[j]
			if a.action.Action != b.action.Action && !disjoint(a.all, b.all) {
				im.note(a.e.path, a.e.at, c.name, Approximated, Tighter, "where the condition of "+b.e.path+" holds too, the more severe action counts")
				return
			}
		}
	}
}

// noteWidths adds a note about comparisons that differ on ABIs with narrower registers.
func (im *importer) noteWidths(c *call) {
	for _, k := range c.conds {
		for _, a := range k.all {
			if old(im.abis) && (a.value>>32 != 0 || a.op == opMasked && a.two>>32 != 0) {
				im.note(a.path, a.at, c.name, Approximated, Wider, "a register of 32 bits is never equal to a value of more; libseccomp compares the low half of the value")
				return
			}
		}
	}
}

// compare adds notes about calls that libseccomp decides differently from cordon's filter, whatever the profile says.
func (im *importer) compare() {
	if slices.Contains(im.abis, filter.I386) {
		im.compareI386()
	}
	if !slices.Contains(im.abis, filter.X32) {
		return
	}
	for _, c := range im.order {
		if c.fixed == nil {
			im.note("architectures", nil, "SCMP_ARCH_X32", Approximated, Tighter, "arguments are compared in full, as the kernel reads them; libseccomp compares 32 bits of an x32 call's")
			return
		}
	}
}

func (im *importer) compareI386() {
	all, err := filter.Decisions(im.spec(), im.target.Arch)
	if err != nil {
		return // write reports the error
	}
	open := im.deflt.Passes()
	for _, name := range []string{"socketcall", "ipc"} {
		c := im.calls[name]
		i := slices.IndexFunc(all, func(d filter.Decision) bool { return d.Call == name })
		if i < 0 || c != nil && c.fixed != nil && !c.fixed.Passes() || c == nil && !open || all[i].Cases[0].Action.Passes() {
			continue
		}
		path, at := "syscalls", (*value)(nil)
		if c != nil {
			path, at = c.first.path, c.first.at
		}
		im.note(path, at, name+" on i386", Approximated, Tighter, "it is denied: its arguments stand behind a pointer, and so it is a way round the decision on a call that it stands for; libseccomp opens it")
	}
	for _, name := range []string{"mmap", "select"} {
		if c := im.calls[name]; c != nil && c.fixed == nil {
			im.note(c.first.path, c.first.at, name+" on i386", Approximated, Tighter, "it is denied: its arguments stand behind a pointer")
		}
	}
}

// unknown returns the action for call numbers that no table contains. runc returns ENOSYS for calls that are newer than
// all calls in the file, unless the file's default allows calls.
func (im *importer) unknown() filter.Action {
	if im.deflt.Passes() {
		return im.deflt.Action
	}
	return filter.Action{Kind: filter.Errno, Errno: 38}
}

// spec returns the section in the form of package filter.
func (im *importer) spec() filter.Spec {
	s := filter.Spec{Default: im.deflt.Action, Unknown: im.unknown(), Foreign: im.foreign}
	for _, c := range im.allow {
		s.Allow = append(s.Allow, filter.Item{Name: c.name})
	}
	for _, c := range im.deny {
		s.Deny = append(s.Deny, filter.Item{Name: c.name})
	}
	for _, r := range im.rules {
		fr := filter.Rule{Call: r.call, Expr: r.expr}
		if r.other != "" {
			fr.Else, _ = filter.ParseAction(r.other)
		}
		s.Rules = append(s.Rules, fr)
	}
	return s
}
