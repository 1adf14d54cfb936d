package filter

import (
	"strings"

	"cordon/policy/filter/tables"
)

// QueryOf returns the query about an actual call, with all its arguments.
func QueryOf(d *Data) *Query {
	abi, nr := abiNumber(d)
	q := &Query{ABI: abi, Nr: uint32(d.Nr)}
	q.Call, _ = Name(abi, nr)
	q.name()
	decoded := Decode(d, nil)
	for i := range q.Args {
		a := &q.Args[i]
		a.Value, a.Known = d.Args[i], true
		if i < len(decoded.Args) && decoded.Args[i] != "…" {
			a.Text = decoded.Args[i]
		}
	}
	return q
}

// Opening says what a change of a Spec newly allows for one call: every class of arguments that was denied before and
// passes now.
type Opening struct {
	Call     string
	Cases    []Case // the cases that pass now and did not pass before
	Narrowed string // why the cases are not exact; "" if they are exact
}

// Opened lists what the Spec after allows and the Spec before denies, sorted by the calls' names. It compares the calls
// of the architecture and of the foreign architectures of each Spec. The error is an Errors.
func Opened(before, after Spec, arch Arch) ([]Opening, error) {
	was, err := Decisions(before, arch)
	if err != nil {
		return nil, err
	}
	is, err := Decisions(after, arch)
	if err != nil {
		return nil, err
	}
	old := make(map[string]*Decision, len(was))
	for i := range was {
		old[was[i].Call] = &was[i]
	}
	var out []Opening
	for i := range is {
		o := Opening{Call: is[i].Call, Narrowed: is[i].Narrowed}
		o.Cases = passesNow(old[o.Call], &is[i])
		if d := old[o.Call]; d != nil && d.Narrowed != "" {
			o.Narrowed = d.Narrowed
		}
		if len(o.Cases) > 0 {
			out = append(out, o)
		}
	}
	return out, nil
}

// passesNow returns the classes of arguments that a denied and b allows. a is nil for a call that the earlier Spec does
// not know.
func passesNow(a, b *Decision) (out []Case) {
	if a == nil {
		a = &Decision{Cases: []Case{{Action: Action{Kind: Kill}}}}
	}
	for i := range a.Cases {
		for j := range b.Cases {
			if x, y := &a.Cases[i], &b.Cases[j]; !x.Action.Passes() && y.Action.Passes() {
				if both, ok := overlap(&x.Args, &y.Args); ok {
					out = append(out, Case{Args: both, Action: y.Action})
				}
			}
		}
	}
	return out
}

// overlap returns the test that holds if both tests hold; ok is false if they never hold together.
func overlap(a, b *[6]Masked) (both [6]Masked, ok bool) {
	for i := range a {
		if common := a[i].Mask & b[i].Mask; a[i].Value&common != b[i].Value&common {
			return both, false
		}
		both[i] = Masked{Mask: a[i].Mask | b[i].Mask, Value: a[i].Value | b[i].Value}
	}
	return both, true
}

// Always reports whether a condition on a call is certainly true for all arguments.
func Always(call, expr string, arch Arch) bool {
	id := callID(call)
	if id == noCall {
		return false
	}
	c := &conds{}
	r, err := parseExpr(c, expr, id, arch)
	return err == nil && !c.possible(c.not(r))
}

// Fails reports whether a rule alone denies the query's call, whatever the values of the unknown arguments are.
func Fails(r Rule, arch Arch, q *Query) bool {
	if !Names(r.Call, q.Call) {
		return false
	}
	r.Quiet = false
	found, err := Ask(Spec{Default: Action{Kind: Allow}, Unknown: Action{Kind: Allow}, Foreign: []Arch{q.ABI}, Rules: []Rule{r}}, arch, q)
	return err == nil && len(found) == 1 && !found[0].Action.Passes()
}

// Width returns the bits that the kernel reads of argument i of the query's call.
func (q *Query) Width(i int) uint64 {
	id := callID(q.Call)
	if id == noCall {
		return ^uint64(0)
	}
	n := 0
	for f := range strings.FieldsSeq(tables.CallArgs[id]) {
		if n == i {
			return widthMask(f[len(f)-1], q.ABI)
		}
		n++
	}
	return ^uint64(0)
}
