package convert

import (
	"slices"

	"cordon/policy/filter"
)

// folded is an item of an allow list: a call, or a group that stands for several.
type folded struct {
	name string
	from []int // lines of the entries that it comes from
}

// leastGain is how many names a group must save to be worth a reader's while.
const leastGain = 4

// fold writes calls as groups where all that a group holds is among them, or free: decided elsewhere, or no call of the
// ABIs that the profile is for.
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

// saving is how many of the names that are left a group stands for; 0 if it holds some that do not fit.
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

// merged is the union of two sorted lists of lines.
func merged(a, b []int) []int {
	out := append(slices.Clone(a), b...)
	slices.Sort(out)
	return slices.Compact(out)
}
