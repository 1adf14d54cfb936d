package diff

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"cordon/policy"
	"cordon/policy/filter"
)

// syscalls compares what the filters decide. It looks at every call of the architecture, and of the further
// architectures that either profile allows, and at every class of arguments that either filter distinguishes.
func (d *differ) syscalls(name string) error {
	arch, ok := filter.ParseArch(name)
	if !ok {
		return &policy.Error{Msg: policy.Quote(name) + " is not an architecture"}
	}
	a, err := d.a.Filter()
	if err != nil {
		return err
	}
	b, err := d.b.Filter()
	if err != nil {
		return err
	}
	before, err := filter.Decisions(a, arch)
	if err != nil {
		return err
	}
	after, err := filter.Decisions(b, arch)
	if err != nil {
		return err
	}
	was := map[string]*filter.Decision{}
	for i := range before {
		was[before[i].Call] = &before[i]
	}
	for i := range after {
		if old := was[after[i].Call]; old != nil {
			d.call(arch, old, &after[i])
		}
	}
	d.unknown(a.Unknown, b.Unknown)
	arches := func(list []filter.Arch) (out []named) {
		for _, x := range list {
			if x != arch && arch.Hosts(x) {
				out = append(out, named{name: x.String()})
			}
		}
		return out
	}
	d.set("syscalls.arches", Widens, arches(a.Foreign), arches(b.Foreign))
	d.set("syscalls.rules quiet", Alters, quiet(d.a), quiet(d.b))
	return nil
}

// quiet lists the rules with quiet. They decide only what a run prints, not what a call may do.
func quiet(p *policy.Profile) (out []named) {
	for _, r := range p.Syscalls.Rules {
		if r.Quiet {
			out = append(out, named{r.Call + ": " + r.Expr, r.Pos})
		}
	}
	return out
}

func (d *differ) unknown(a, b filter.Action) {
	enosys := filter.Action{Kind: filter.Errno, Errno: 38}
	if a.Kind == filter.Unset {
		a = enosys
	}
	if b.Kind == filter.Unset {
		b = enosys
	}
	if a == b {
		return
	}
	d.add(Change{Effect: effectOf(a, b), Section: "syscalls.unknown", From: a.String(), To: b.String(),
		Old: d.a.Source("syscalls.unknown"), New: d.b.Source("syscalls.unknown")})
}

// effectOf returns the effect of a change from action a to action b.
func effectOf(a, b filter.Action) Effect {
	passes := func(a filter.Action) bool { return a.Kind == filter.Allow || a.Kind == filter.Log }
	switch {
	case !passes(a) && passes(b):
		return Widens
	case passes(a) && !passes(b):
		return Narrows
	}
	return Alters
}

// call compares the decisions for one call. It reports each kind of change once, with an example.
func (d *differ) call(arch filter.Arch, a, b *filter.Decision) {
	if slices.Equal(a.Cases, b.Cases) {
		return
	}
	type kind struct{ from, to filter.Action }
	var kinds []kind
	examples := map[kind][6]filter.Masked{}
	for i := range a.Cases {
		for j := range b.Cases {
			x, y := &a.Cases[i], &b.Cases[j]
			both, ok := overlap(&x.Args, &y.Args)
			if !ok || x.Action == y.Action {
				continue
			}
			k := kind{x.Action, y.Action}
			if _, known := examples[k]; !known {
				kinds = append(kinds, k)
				examples[k] = both
			}
		}
	}
	for _, k := range kinds {
		what := a.Call
		if len(a.Cases) > 1 || len(b.Cases) > 1 {
			what = oneOfClass(arch, a.Call, examples[k])
		}
		c := Change{Effect: effectOf(k.from, k.to), Section: "syscalls", What: what, From: k.from.String(), To: k.to.String(),
			Old: callPos(d.a, a.Call), New: callPos(d.b, a.Call)}
		if why := cmp.Or(b.Narrowed, a.Narrowed); why != "" {
			c.What += " (" + why + ": compared as the strictest case)"
		}
		d.add(c)
	}
}

// overlap returns the test that holds exactly if both a and b hold. ok is false if they never hold together.
func overlap(a, b *[6]filter.Masked) (both [6]filter.Masked, ok bool) {
	for i := range a {
		if common := a[i].Mask & b[i].Mask; a[i].Value&common != b[i].Value&common {
			return both, false
		}
		both[i] = filter.Masked{Mask: a[i].Mask | b[i].Mask, Value: a[i].Value | b[i].Value}
	}
	return both, true
}

// oneOfClass returns an example of a class of calls. It shows only the arguments that distinguish the class, by name.
func oneOfClass(arch filter.Arch, call string, args [6]filter.Masked) string {
	nr, ok := filter.Number(arch, call)
	names := filter.Args(call)
	d := filter.Data{Nr: int32(nr), Arch: arch.Audit()}
	for i := range args {
		d.Args[i] = args[i].Value
	}
	words := filter.Decode(&d, nil).Args
	var parts []string
	for i, m := range args {
		if m.Mask == 0 {
			continue
		}
		name := "reg" + strconv.Itoa(i)
		if i < len(names) {
			name = names[i]
		}
		word := "0x" + strconv.FormatUint(m.Value, 16)
		if ok && i < len(words) && words[i] != "…" && words[i] != "" {
			word = words[i]
		}
		parts = append(parts, name+"="+word)
	}
	return call + "(" + strings.Join(parts, ", ") + "), for example"
}

// callPos returns the position at which a profile says something about a call.
func callPos(p *policy.Profile, call string) policy.Pos {
	for _, x := range p.Syscalls.Deny {
		if names(x.Name, call) {
			return x.Pos
		}
	}
	for _, r := range p.Syscalls.Rules {
		if names(r.Call, call) {
			return r.Pos
		}
	}
	for _, x := range p.Syscalls.Allow {
		if names(x.Name, call) {
			return x.Pos
		}
	}
	return p.Source("syscalls.default")
}

// names reports whether an item is the call itself, or a group that contains it.
func names(item, call string) bool {
	return item == call || strings.HasPrefix(item, "@") && slices.Contains(filter.Members(item), call)
}
