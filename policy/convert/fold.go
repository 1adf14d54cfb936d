package convert

import (
	"slices"

	"cordon/policy/filter"
)

// folded is an item of an allow list: a call, or a group that stands for several calls.
type folded struct {
	name string
	from []int // the lines of the entries from which the item comes
}

// leastGain is how many names a group must replace to make the list easier to read.
const leastGain = 4

// fold replaces calls by groups. A group may replace calls if each call of the group is in the list or is free. A call
// is free if something else decides about it, or if the profile's ABIs do not have it.
func fold(calls []*call, free func(string) bool) []folded {
	left := map[string]*call{}
	for _, c := range calls {
		left[c.name] = c
	}
	all := make(map[string]bool, len(calls))
	for name := range left {
		all[name] = true
	}
	fits := func(name string) bool { return all[name] || free(name) }
	var out []folded
	for {
		group, gain := "", leastGain-1
		for _, g := range filter.Groups() {
			if n := saving(g, left, fits); n > gain {
				group, gain = g, n
			}
		}
		if group == "" {
			break
		}
		f := folded{name: group}
		for _, name := range filter.Members(group) {
			if c := left[name]; c != nil {
				f.from = merged(f.from, c.from)
				delete(left, name)
			}
		}
		out = append(out, f)
	}
	for _, c := range calls {
		if left[c.name] != nil {
			out = append(out, folded{c.name, c.from})
		}
	}
	return out
}

// saving returns how many of the names in left a group would replace. It returns 0 if a member of the group does not
// fit.
func saving(group string, left map[string]*call, fits func(string) bool) (n int) {
	for _, name := range filter.Members(group) {
		if !fits(name) {
			return 0
		}
		if left[name] != nil {
			n++
		}
	}
	return n
}

// merged returns the union of two lists of lines, sorted.
func merged(a, b []int) []int {
	out := append(slices.Clone(a), b...)
	slices.Sort(out)
	return slices.Compact(out)
}
