package policy

import "strings"

// rules reads the list of rules: {CALL: EXPR} with an optional else.
func (d *decoder) rules(n *node, out *[]SyscallRule, path string) {
	if !d.wants(n, seqNode, path) {
		return
	}
	for i, it := range n.items {
		at := index(path, i)
		if !d.wants(it.val, mapNode, at) {
			continue
		}
		if r, ok := d.rule(it.val, at); ok {
			*out = append(*out, r)
		}
	}
}

func (d *decoder) rule(n *node, path string) (SyscallRule, bool) {
	r := SyscallRule{Pos: d.pos(n)}
	had := len(d.errs)
	d.eachEntry(n, path, func(it *item) {
		s, ok := d.str(it.val, join(path, it.key.text))
		switch {
		case !ok:
		case it.key.text == "else":
			r.Else = s
			d.fault(it.val, join(path, "else"), checkAction(s))
		case r.Call != "":
			d.fail(it.key, path, quote(it.key.text)+" and "+quote(r.Call)+" in one rule", "each call is an item of its own")
		default:
			r.Call, r.Expr = it.key.text, s
			d.fault(it.key, path, checkCall(r.Call))
			d.expr(it.val, join(path, r.Call), r)
		}
	})
	if r.Call == "" && len(d.errs) == had {
		d.fail(n, path, "a rule names a call", `such as {socket: "family == AF_UNIX"}`)
	}
	return r, len(d.errs) == had
}

// expr checks a rule's expression; the error points into it where it stands on one line as it is.
func (d *decoder) expr(n *node, path string, r SyscallRule) {
	f, col := checkExpr(r.Call, r.Expr)
	if f == nil {
		return
	}
	at := *n
	if col > 0 && n.style != '|' {
		at.col += col - 1
		if n.style != 0 {
			at.col++
		}
	}
	d.fault(&at, path, f)
}

// checkCall, checkAction, checkExpr and checkArch ask package filter.
func checkCall(s string) *fault {
	name := strings.TrimPrefix(s, "@")
	ok := name != "" && len(name) <= 64
	for i := 0; ok && i < len(name); i++ {
		c := name[i]
		ok = 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_' || c == '-'
	}
	if !ok {
		return bad(quote(s)+" is not a system call", "")
	}
	return nil
}

func checkAction(s string) *fault {
	if s == "" {
		return bad("an empty action", "allow, errno(NAME), kill or log")
	}
	return nil
}

func checkExpr(call, expr string) (f *fault, col int) {
	if expr == "" {
		return bad("an empty rule", ""), 0
	}
	return nil, 0
}

func checkArch(s string) *fault {
	if s == "" {
		return bad("an empty architecture", "")
	}
	return nil
}

func (v *validator) syscalls() {
	s := &v.p.Syscalls
	call := func(x SyscallItem) (*fault, Pos) { return checkCall(x.Name), x.Pos }
	check(v, "syscalls.allow", s.Allow, call)
	check(v, "syscalls.deny", s.Deny, call)
	check(v, "syscalls.arches", s.Arches, func(a string) (*fault, Pos) { return checkArch(a), v.from("syscalls.arches") })
	check(v, "syscalls.rules", s.Rules, func(r SyscallRule) (*fault, Pos) { return r.check(), r.Pos })
}

func (r *SyscallRule) check() *fault {
	if f := checkCall(r.Call); f != nil {
		return f
	}
	if r.Else != "" {
		if f := checkAction(r.Else); f != nil {
			return f
		}
	}
	f, _ := checkExpr(r.Call, r.Expr)
	return f
}
