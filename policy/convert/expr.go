package convert

import (
	"slices"
	"strconv"
	"strings"
)

// The conditions in this file compare reg0 to reg5, the plain registers, because libseccomp compares the registers.

func (a *arg) register() string { return "reg" + strconv.Itoa(a.index) }

// expr returns the comparison in cordon's language.
func (a *arg) expr() string {
	if a.op == opMasked { // libseccomp applies the mask to the value too
		return a.register() + " & " + number(a.value) + " == " + number(a.two&a.value)
	}
	return a.register() + " " + string(a.op) + " " + number(a.value)
}

// number writes small numbers in decimal and others in hexadecimal.
func number(n uint64) string {
	if n < 100 {
		return strconv.FormatUint(n, 10)
	}
	return "0x" + strconv.FormatUint(n, 16)
}

// any returns an expression that is true if one of the conditions is. Several equalities of one argument become a list
// of values.
func any(conds []cond) string {
	var out []string
	for i := 0; i < len(conds); i++ {
		a, ok := conds[i].equality()
		if !ok {
			out = append(out, conds[i].expr(len(conds) > 1))
			continue
		}
		values := []uint64{a.value}
		for ; i+1 < len(conds); i++ {
			b, ok := conds[i+1].equality()
			if !ok || b.index != a.index {
				break
			}
			if !slices.Contains(values, b.value) {
				values = append(values, b.value)
			}
		}
		out = append(out, oneOf(&a, values))
	}
	return strings.Join(out, " || ")
}

// equality returns the comparison of a condition that is a single comparison with ==.
func (c *cond) equality() (a arg, ok bool) {
	if len(c.all) == 1 && c.all[0].op == "==" {
		return c.all[0], true
	}
	return arg{}, false
}

func oneOf(a *arg, values []uint64) string {
	if len(values) == 1 {
		return a.expr()
	}
	text := make([]string, len(values))
	for i, v := range values {
		text[i] = number(v)
	}
	return "in(" + a.register() + ", " + strings.Join(text, ", ") + ")"
}

func (c *cond) expr(among bool) string {
	var out []string
	for i := range c.all {
		out = append(out, c.all[i].expr())
	}
	s := strings.Join(out, " && ")
	if among && len(out) > 1 {
		return "(" + s + ")"
	}
	return s
}

// not returns an expression that is true if none of the conditions is.
func not(conds []cond) string {
	if len(conds) == 1 && len(conds[0].all) == 1 {
		a := conds[0].all[0]
		switch a.op {
		case "==":
			a.op = "!="
			return a.expr()
		case "!=":
			a.op = "=="
			return a.expr()
		case opMasked:
			return strings.Replace(a.expr(), " == ", " != ", 1)
		}
	}
	return "!(" + any(conds) + ")"
}

// disjoint reports whether two lists of comparisons are never true together. It returns false if that is not obvious.
func disjoint(a, b []arg) bool {
	for i := range a {
		for j := range b {
			if a[i].index == b[j].index && apart(&a[i], &b[j]) {
				return true
			}
		}
	}
	return false
}

func apart(a, b *arg) bool {
	switch {
	case a.op == "==":
		return !b.holds(a.value)
	case b.op == "==":
		return !a.holds(b.value)
	case a.op == opMasked && b.op == opMasked:
		both := a.value & b.value
		return a.two&both != b.two&both
	}
	alo, ahi, ok := a.bounds()
	blo, bhi, ok2 := b.bounds()
	return ok && ok2 && (ahi < blo || bhi < alo)
}

// holds reports whether the comparison holds for one value.
func (a *arg) holds(v uint64) bool {
	switch a.op {
	case "!=":
		return v != a.value
	case "<":
		return v < a.value
	case "<=":
		return v <= a.value
	case "==":
		return v == a.value
	case ">=":
		return v >= a.value
	case ">":
		return v > a.value
	}
	return v&a.value == a.two&a.value
}

// bounds returns the lowest and the highest value for which a comparison by order holds. ok is false for other
// comparisons, and if the comparison holds for no value.
func (a *arg) bounds() (lo, hi uint64, ok bool) {
	const most = 1<<64 - 1
	switch a.op {
	case "<":
		return 0, a.value - 1, a.value > 0
	case "<=":
		return 0, a.value, true
	case ">=":
		return a.value, most, true
	case ">":
		return a.value + 1, most, a.value < most
	}
	return 0, 0, false
}
