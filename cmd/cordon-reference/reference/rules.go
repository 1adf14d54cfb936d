package reference

import (
	"slices"

	"cordon/policy/filter"
)

// firstAction is the terminal node for the first action of a decision.
const firstAction = 2

// maxTerminals is larger than the number of actions in any filter.
const maxTerminals = 64

// decision is the action for one call on one ABI, as a function of the registers.
type decision struct {
	*diagrams
	root    node
	actions []filter.Action // the actions for the terminals from firstAction on
	err     error           // why there is no decision; nil if there is one
}

// policy decides what happens to each call as the documentation of filter.Spec says, without the compiler. The check
// compares these decisions with the compiled filter.
type policy struct {
	filter.Spec
	denied filter.Action
}

func newPolicy(s filter.Spec) *policy {
	if s.Default.Kind == filter.Unset {
		s.Default = filter.Action{Kind: filter.Errno, Errno: 1}
	}
	if s.Unknown.Kind == filter.Unset {
		s.Unknown = filter.Action{Kind: filter.Errno, Errno: 38}
	}
	p := &policy{s, s.Default}
	if p.passes() {
		p.denied = filter.Action{Kind: filter.Errno, Errno: 1}
	}
	return p
}

// passes reports whether a call that the policy does not name is executed.
func (p *policy) passes() bool { return p.Default.Kind == filter.Allow || p.Default.Kind == filter.Log }

func names(items []filter.Item, call string) bool {
	return slices.ContainsFunc(items, func(it filter.Item) bool {
		return it.Name == call || slices.Contains(filter.Members(it.Name), call)
	})
}

func (p *policy) denies(call string) bool {
	return slices.ContainsFunc(append(filter.VariantOf(call), call), func(c string) bool { return names(p.Deny, c) })
}

// ruled returns the name of the call whose rules apply to this call, or "".
func (p *policy) ruled(call string) string {
	for _, c := range append([]string{call}, filter.VariantOf(call)...) {
		for i := range p.Rules {
			if about(&p.Rules[i], c) {
				return c
			}
		}
	}
	return ""
}

func about(r *filter.Rule, call string) bool {
	return r.Call == call || slices.Contains(filter.Members(r.Call), call)
}

// closed reports whether a multiplexer (socketcall, ipc) can do the work of a call that is not freely allowed.
func (p *policy) closed(call string) bool {
	return slices.ContainsFunc(filter.Multiplexes(call), func(c string) bool {
		return p.denies(c) || p.ruled(c) != "" || !names(p.Allow, c) && !p.passes()
	})
}

// decide returns the decision on a call that the ABI has.
func (p *policy) decide(abi filter.Arch, call string) *decision {
	d := &decision{diagrams: newDiagrams(maxTerminals)}
	switch named := names(p.Allow, call) || p.ruled(call) != ""; {
	case p.denies(call), (named || p.passes()) && p.closed(call):
		d.root = d.terminal(p.denied)
	case p.ruled(call) != "":
		p.rules(d, abi, call)
	case named:
		d.root = d.terminal(filter.Action{Kind: filter.Allow})
	default:
		d.root = d.terminal(p.Default)
	}
	return d
}

func (d *decision) terminal(a filter.Action) node {
	i := slices.Index(d.actions, a)
	if i < 0 {
		i = len(d.actions)
		d.actions = append(d.actions, a)
	}
	if firstAction+i >= maxTerminals {
		panic(errTooLarge{})
	}
	return node(firstAction + i)
}

func (d *decision) action(n node) filter.Action { return d.actions[n-firstAction] }

// of returns the action for these register values.
func (d *decision) of(args *[6]uint64) filter.Action { return d.action(d.eval(d.root, args)) }

// rules sets the decision to the most severe action that the rules give. Of several fixed actions of the same kind, the
// last one counts.
func (p *policy) rules(d *decision, abi filter.Arch, call string) {
	defer func() {
		if x := recover(); x != nil {
			large, ok := x.(errTooLarge)
			if !ok {
				panic(x)
			}
			d.err = large
		}
	}()
	base := p.ruled(call)
	d.root = d.terminal(filter.Action{Kind: filter.Allow})
	for i := range p.Rules {
		if !about(&p.Rules[i], base) {
			continue
		}
		n, fixed, err := p.rule(d, &p.Rules[i], abi, call)
		if err != nil {
			d.err = err
			return
		}
		d.root = d.combine(d.root, n, func(worst, a node) node {
			if x, y := d.action(a), d.action(worst); x.Kind > y.Kind || x.Kind == y.Kind && fixed {
				return a
			}
			return worst
		})
	}
}

func (p *policy) rule(d *decision, r *filter.Rule, abi filter.Arch, call string) (n node, fixed bool, err error) {
	if a, err := filter.ParseAction(r.Expr); err == nil {
		return d.terminal(a), a.Kind != filter.Allow, nil
	}
	other := r.Else
	if other.Kind == filter.Unset {
		other = p.denied
	}
	if abi == filter.I386 && (call == "mmap" || call == "select") { // its arguments are in memory, not in registers
		return d.terminal(other), false, nil
	}
	reader := &reader{diagrams: d.diagrams, call: call, abi: abi}
	cond, err := reader.condition(r.Expr)
	switch {
	case err != nil && call != r.Call && err == errLanguage: // a variant of the call with other arguments
		return d.terminal(other), false, nil
	case err != nil:
		return never, false, err
	}
	return d.ite(cond, d.terminal(filter.Action{Kind: filter.Allow}), d.terminal(other)), false, nil
}
