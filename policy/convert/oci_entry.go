package convert

import (
	"slices"
	"strings"

	"cordon/policy"
)

// entry reads an item of syscalls. It returns nil if the item is wrong.
func (d *decoder) entry(v *value, path string) *entry {
	had := len(d.errs)
	d.keys(v, path, "names", "name", "action", "errnoRet", "errno", "args", "comment", "includes", "excludes")
	e := &entry{path: path, at: v}
	d.list(v.get("names"), join(path, "names"), kindString, func(it *value, _ string) { e.names = append(e.names, it) })
	if name := v.get("name"); name != nil && d.wants(name, join(path, "name"), kindString) && name.text != "" {
		if len(e.names) > 0 {
			d.fail(name, path, "name and names exclude each other", "leave out the one or the other")
		}
		e.names = append(e.names, name)
	}
	if len(e.names) == 0 && len(d.errs) == had {
		d.fail(v, path, "an entry names a call", `such as "names": ["read"]`)
	}
	if a := v.get("action"); a == nil {
		d.fail(v, path, "no action", "")
	} else {
		e.action = d.action(a, join(path, "action"), v.get("errnoRet"), v.get("errno"))
	}
	d.list(v.get("args"), join(path, "args"), kindObject, func(it *value, at string) { e.args = append(e.args, d.arg(it, at)) })
	for _, c := range []struct {
		key     string
		include bool
	}{{"includes", true}, {"excludes", false}} {
		if w := v.get(c.key); w != nil && d.keys(w, join(path, c.key), "caps", "arches", "minKernel") {
			e.when = append(e.when, d.condition(w, join(path, c.key), c.include))
		}
	}
	if len(d.errs) > had {
		return nil
	}
	return e
}

func (d *decoder) arg(v *value, path string) arg {
	a := arg{at: v, path: path}
	d.keys(v, path, "index", "value", "valueTwo", "op")
	known := make([]string, len(ops))
	for i, o := range ops {
		known[i] = o.name
	}
	if o := v.get("op"); o == nil {
		d.fail(v, path, "no op", "it is one of "+strings.Join(known, ", "))
	} else if d.word(o, join(path, "op"), "an operator", known) {
		a.op = ops[slices.Index(known, o.text)].op
	}
	if i := v.get("index"); i == nil {
		d.fail(v, path, "no index", "an argument's, from 0 to 5")
	} else {
		a.index = int(d.number(i, join(path, "index"), 5))
	}
	if x := v.get("value"); x != nil {
		a.value = d.number(x, join(path, "value"), 1<<64-1)
	}
	if x := v.get("valueTwo"); x != nil {
		a.two = d.number(x, join(path, "valueTwo"), 1<<64-1)
	}
	return a
}

func (d *decoder) condition(v *value, path string, include bool) condition {
	c := condition{include: include}
	d.list(v.get("caps"), join(path, "caps"), kindString, func(it *value, at string) {
		name := strings.TrimPrefix(it.text, "CAP_")
		if _, ok := policy.CapabilityNumber(name); !ok || name == it.text {
			hint := didYouMean(strings.TrimPrefix(strings.ToUpper(it.text), "CAP_"), policy.CapabilityNames())
			if ok {
				hint = "write \"CAP_" + name + "\""
			}
			d.fail(it, at, policy.Quote(it.text)+" is not a capability", hint)
		}
		c.caps = append(c.caps, name)
	})
	d.list(v.get("arches"), join(path, "arches"), kindString, func(it *value, at string) {
		if d.word(it, at, "an architecture", nativeNames) {
			c.arches = append(c.arches, it.text)
		}
	})
	if k := v.get("minKernel"); k != nil && d.wants(k, join(path, "minKernel"), kindString) && k.text != "" {
		kernel, err := ParseKernel(k.text)
		if err != nil {
			d.fail(k, join(path, "minKernel"), err.Error(), "such as \"4.8\"")
		}
		c.kernel = &kernel
	}
	return c
}

// applies reports whether the entry applies to the target, by the rules of Docker's template.
func (d *decoder) applies(e *entry) bool {
	for i := range e.when {
		c := &e.when[i]
		if c.include && !d.target.includes(c) || !c.include && d.target.excludes(c) {
			return false
		}
	}
	return true
}
