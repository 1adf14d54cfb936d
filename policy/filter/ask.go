package filter

import (
	"slices"
	"strconv"
	"strings"

	"cordon/policy/filter/tables"
)

// Outcome is one possible answer to a Query, with arguments for which it is the answer.
type Outcome struct {
	Verdict
	Args  [6]uint64 // registers that lead to this outcome; known registers have the values in the Query
	Found bool      // whether such registers were found; false only for an outcome that may be impossible
}

// Ask returns what the Spec decides for a call with possibly unknown arguments: one outcome if the unknown arguments
// make no difference, otherwise every possible outcome. The error is an Errors.
func Ask(spec Spec, arch Arch, q *Query) ([]Outcome, error) {
	c, err := newCompiler(&spec, arch)
	if err != nil {
		return nil, err
	}
	d := q.Data([6]uint64{})
	first := c.explain(&d) // also sets the ABI
	if len(c.errs) > 0 {
		return nil, c.errs
	}
	outcomes := []Outcome{{first, d.Args, true}}
	if first.By != ByRule {
		return outcomes, nil
	}
	id := callID(first.Call)
	parts, known := c.parts(id), q.known()
	var open []ref // conditions that depend on unknown arguments and may decide
	possible := []int(nil)
	for i := range parts {
		switch c.eval3(parts[i].cond, &d, known) {
		case yes:
			continue
		case no:
			possible = append(possible, i)
		default:
			possible, open = append(possible, i), append(open, parts[i].cond)
			continue
		}
		break
	}
	if n := len(possible); n == 0 || c.eval3(parts[possible[n-1]].cond, &d, known) != no {
		possible = append(possible, len(parts))
	}
	if len(possible) == 1 {
		return outcomes, nil
	}
	outcomes = outcomes[:0]
	for _, i := range possible {
		outcomes = append(outcomes, Outcome{Verdict: c.verdictOf(id, parts, i), Args: d.Args})
	}
	c.search(parts, possible, open, d, known, outcomes)
	return outcomes, nil
}

// verdictOf returns the verdict if part i is the first whose condition fails; len(parts) means that none fails.
func (c *compiler) verdictOf(id uint16, parts []part, i int) Verdict {
	var v Verdict
	if i < len(parts) {
		v = c.failed(&parts[i])
	} else {
		v = c.held(id)
	}
	v.Call = tables.CallNames[id]
	return v
}

type tri uint8

const (
	maybe tri = iota
	no
	yes
)

func triOf(b bool) tri {
	if b {
		return yes
	}
	return no
}

// eval3 evaluates r if only some registers are known. It returns maybe if the unknown registers make a difference.
func (c *conds) eval3(r ref, d *Data, known [6]bool) tri {
	if r < refNodes {
		return triOf(r == refTrue)
	}
	n := c.at(r)
	knows := func(v view) bool { return v.word == 0 || known[(v.word-1)/2] }
	switch {
	case n.kind == nodeAnd || n.kind == nodeOr:
		a, b, final := c.eval3(n.a, d, known), c.eval3(n.b, d, known), no
		if n.kind == nodeOr {
			final = yes
		}
		switch {
		case a == final || b == final:
			return final
		case a == maybe || b == maybe:
			return maybe
		}
		return yes + no - final
	case n.kind == nodePair && knows(n.v) && knows(n.w):
		if w, x := n.v.of(d), n.w.of(d); w == x && n.code != opJgt || w > x && n.code != opJeq {
			return c.eval3(n.a, d, known)
		}
		return c.eval3(n.b, d, known)
	case n.kind == nodePair:
		if a := c.eval3(n.a, d, known); a == c.eval3(n.b, d, known) {
			return a
		}
		return maybe
	}
	cases := c.casesOf(n)
	if knows(n.v) {
		i := len(cases) - 1
		for w := n.v.of(d); cases[i].lo > w; i-- {
		}
		return c.eval3(cases[i].to, d, known)
	}
	all := c.eval3(cases[0].to, d, known)
	for _, k := range cases[1:] {
		if c.eval3(k.to, d, known) != all {
			return maybe
		}
	}
	return all
}

// maxTries is how many combinations of registers search tries at most.
const maxTries = 1 << 17

// search looks for registers that lead to each outcome. It tries values at which the result of a condition changes.
func (c *compiler) search(parts []part, possible []int, open []ref, d Data, known [6]bool, outcomes []Outcome) {
	var words [12][]uint32
	for _, r := range open {
		c.edges(r, &words)
	}
	var choices [6][]uint64
	total := 1
	for i := range choices {
		if known[i] {
			continue
		}
		for _, hi := range sorted(words[2*i+1]) {
			for _, lo := range sorted(words[2*i]) {
				choices[i] = append(choices[i], uint64(hi)<<32|uint64(lo))
			}
		}
		total = min(total*len(choices[i]), 4*maxTries)
	}
	random := uint64(1) // xorshift64 gives the same numbers in every run, so the answer is always the same
	missing := len(outcomes)
	for try := 0; try < min(total, maxTries) && missing > 0; try++ {
		n := try
		for i, values := range choices {
			switch {
			case values == nil:
			case total > maxTries:
				random ^= random << 13
				random ^= random >> 7
				random ^= random << 17
				d.Args[i] = values[random%uint64(len(values))]
			default:
				d.Args[i] = values[n%len(values)]
				n /= len(values)
			}
		}
		i := 0
		for i < len(parts) && c.eval(parts[i].cond, &d) {
			i++
		}
		if j := slices.Index(possible, i); j >= 0 && !outcomes[j].Found {
			outcomes[j].Args, outcomes[j].Found = d.Args, true
			missing--
		}
	}
}

func sorted(words []uint32) []uint32 {
	words = append(words, 0)
	slices.Sort(words)
	return slices.Compact(words)
}

// edges collects, for each word, values on both sides of every boundary in r.
func (c *conds) edges(r ref, words *[12][]uint32) {
	if r < refNodes {
		return
	}
	n := c.at(r)
	add := func(v view, k uint32) {
		w := (k ^ v.xor) & v.and
		words[v.word-1] = append(words[v.word-1], w, w|^v.and)
	}
	switch n.kind {
	case nodePair:
		for _, k := range []uint32{0, 1, 1<<32 - 1} {
			add(n.v, k)
			add(n.w, k)
		}
		fallthrough
	case nodeAnd, nodeOr:
		c.edges(n.a, words)
		c.edges(n.b, words)
		return
	}
	for _, k := range c.casesOf(n) {
		add(n.v, k.lo-1)
		add(n.v, k.lo)
		c.edges(k.to, words)
	}
}

// Spell formats a register's value as a rule would: by the name of a constant in one of the expressions that has this
// value on the ABI, and otherwise as a number.
func (q *Query) Spell(value uint64, exprs ...string) string {
	for _, e := range exprs {
		if value == 0 {
			break // too many constants have the value 0
		}
		for _, name := range strings.FieldsFunc(e, func(r rune) bool { return r > 127 || !isLetter(byte(r)) && !isDigit(byte(r)) }) {
			if v, ok := constant(name, q.ABI); ok && v.Bits == value {
				return name
			}
		}
	}
	n := number{bits: value}
	if value > 9 && value < 1<<63 {
		return "0x" + strconv.FormatUint(value, 16)
	}
	if value >= 1<<63 {
		n.neg = true
	}
	return n.String()
}
