package learn

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"cordon/policy"
	"cordon/policy/filter"
)

// refused reports whether an errno means that the kernel did not execute the call at all. If that was the result every
// time, the program does not need the call.
func refused(errno string) bool { return errno == "ENOSYS" || errno == "EPERM" }

// syscalls makes the section syscalls of the profile.
func (l *learner) syscalls() {
	s := &l.own.Syscalls
	l.bar()
	seen := l.seenCalls()
	ruled := l.parentRules()
	for _, c := range seen {
		s.Allow = append(s.Allow, policy.SyscallItem{Name: c.Name, Pos: c.At})
	}
	l.unseen()
	l.related(seen)
	l.rules(ruled)
	l.architectures()
	if !slices.ContainsFunc(seen, func(c *Call) bool { return c.Name == "execve" || c.Name == "execveat" }) && l.f.Header.Runs != nil {
		s.Exec = policy.ExecOnce
		l.comment("syscalls.exec", "No other program was executed.")
	}
	if l.parent.Syscalls.Default == "" {
		s.Default = "errno(EPERM)"
	}
}

// seenCalls returns one fact for each call that the profile will allow, sorted by name.
func (l *learner) seenCalls() (seen []*Call) {
	byName, refusals := map[string]*Call{}, map[string]*Call{}
	for i := range l.f.Calls {
		c := &l.f.Calls[i]
		switch {
		case !filter.Known(c.Name):
			l.note(Note{Kind: Left, What: "the system call " + c.Name, Why: "no table has it; it gets " + cmp.Or(l.parent.Syscalls.Unknown, "errno(ENOSYS)"), At: c.At})
		case refused(c.Errno):
			refusals[c.Name] = c
		case c.barred:
		case byName[c.Name] == nil:
			byName[c.Name] = c
			seen = append(seen, c)
		}
	}
	for _, name := range slices.Sorted(keysOf(refusals)) {
		if c := refusals[name]; byName[name] == nil {
			l.note(Note{Kind: Left, What: "the system call " + name, Why: "it always ended with " + c.Errno, At: c.At})
			l.refused = append(l.refused, c)
		}
	}
	slices.SortFunc(seen, func(a, b *Call) int { return cmp.Compare(a.Name, b.Name) })
	return seen
}

// unseen adds the calls that a back end (a way to record) of the recorder does not record: reading, waiting, memory and
// similar calls. The recording does not say whether the program makes them, and no program works without them.
func (l *learner) unseen() {
	s := &l.own.Syscalls
	first := len(s.Allow)
	var backends []string
	for i := range l.f.Header.Runs {
		r := &l.f.Header.Runs[i]
		for _, name := range r.Unseen() {
			_, ok := filter.Number(l.f.arch(), name)
			if !ok || l.denies(name) || slices.ContainsFunc(s.Allow, func(x policy.SyscallItem) bool { return x.Name == name }) {
				continue
			}
			if unusual, _ := l.unusual(&Call{Name: name}); unusual { // every back end records rare calls
				l.note(Note{Kind: Left, What: "the system call " + name, Why: "the recording says that it is not shown, and the profile " + l.opts.Ordinary.Name + " does not allow it"})
				continue
			}
			s.Allow = append(s.Allow, policy.SyscallItem{Name: name})
			if !slices.Contains(backends, r.Backend) {
				backends = append(backends, r.Backend)
			}
		}
	}
	if len(s.Allow) == first {
		return
	}
	slices.SortFunc(s.Allow[first:], func(a, b policy.SyscallItem) int { return cmp.Compare(a.Name, b.Name) })
	by := strings.Join(backends, ", ")
	l.comment("syscalls.allow["+strconv.Itoa(first)+"]", "", "Not shown by the back end "+by+": whether they were called is not known.")
	l.note(Note{Kind: Widened, What: strconv.Itoa(len(s.Allow)-first) + " system calls that the back end " + by + " does not show", Why: "whether they were called is not known; a recording as root shows every call"})
}

// related adds calls that the program would make with another libc.
func (l *learner) related(seen []*Call) {
	s := &l.own.Syscalls
	have := map[string]bool{}
	for _, x := range s.Allow {
		have[x.Name] = true
	}
	first := len(s.Allow)
	add := func(name string) {
		if _, ok := filter.Number(l.f.arch(), name); ok && !have[name] && !l.denies(name) {
			have[name] = true
			s.Allow = append(s.Allow, policy.SyscallItem{Name: name})
		}
	}
	for name := range strings.FieldsSeq(floor + " " + troubles) {
		add(name)
	}
	if l.threaded() {
		for name := range strings.FieldsSeq(threads) {
			add(name)
		}
	}
	for _, c := range seen {
		if op, ok := c.arg("op"); ok && c.Name == "prctl" && op == setSeccomp {
			add("seccomp") // the filter allows this prctl only if it allows seccomp
		}
		for _, name := range relatives(c.Name, l.f.arch()) {
			add(name)
		}
	}
	slices.SortFunc(s.Allow[first:], func(a, b policy.SyscallItem) int { return cmp.Compare(a.Name, b.Name) })
	if len(s.Allow) > first {
		l.comment("syscalls.allow["+strconv.Itoa(first)+"]", "", "Not seen: what another version of libc would call for the same work, and what every program calls or may have to.")
		l.note(Note{Kind: Widened, What: strconv.Itoa(len(s.Allow)-first) + " system calls of the same families", Why: "so that another version of libc finds the call that it prefers; they do no other work"})
	}
}

// cloneThread is CLONE_THREAD of clone(2).
const cloneThread = 0x00010000

// setSeccomp is PR_SET_SECCOMP of prctl(2).
const setSeccomp = 22

// threaded reports whether a program made threads. It counts every clone3, because the flags of clone3 may not be in
// the recording.
func (l *learner) threaded() bool {
	return slices.ContainsFunc(l.f.Calls, func(c Call) bool {
		flags, _ := c.arg("flags")
		return c.Name == "clone3" || c.Name == "clone" && flags&cloneThread != 0
	})
}

// denies reports whether the parent profile denies the call by a rule or a denial, and not only by its default. It is
// also true if the filter does not know the call.
func (l *learner) denies(name string) bool {
	q, err := filter.ParseQuery(name, l.f.arch())
	if err != nil {
		return true
	}
	found, err := filter.Ask(l.parentSpec, l.f.arch(), q)
	return err == nil && len(found) == 1 && found[0].Action.Kind != filter.Allow && found[0].By != filter.ByDefault
}

// forbids reports whether the parent profile denies the call with its recorded arguments, and not only by its default.
func (l *learner) forbids(c *Call) bool {
	found, err := filter.Ask(l.parentSpec, l.f.arch(), l.f.query(c))
	return err == nil && len(found) == 1 && found[0].Action.Kind != filter.Allow && found[0].By != filter.ByDefault
}

// parentRules lists the calls for which the parent profile has rules. The parent profile allows these calls under the
// conditions of its rules.
func (l *learner) parentRules() map[string]bool {
	ruled := map[string]bool{}
	for _, r := range l.parent.Syscalls.Rules {
		if !strings.HasPrefix(r.Call, "@") && !l.denies(r.Call) {
			ruled[r.Call] = true
		}
	}
	return ruled
}

// rules adds conditions on the arguments of calls.
func (l *learner) rules(ruled map[string]bool) {
	tuples := map[string][]*Call{}
	for i := range l.f.Calls {
		if c := &l.f.Calls[i]; !refused(c.Errno) && !c.barred {
			tuples[c.Name] = append(tuples[c.Name], c)
		}
	}
	allowed := map[string]bool{}
	for _, x := range l.own.Syscalls.Allow {
		allowed[x.Name] = true
	}
	for _, n := range narrowings {
		all := slices.Clip(tuples[n.call])
		for _, also := range n.with {
			all = append(all, tuples[also]...)
		}
		for _, name := range append([]string{n.call}, n.with...) {
			if _, ok := filter.Number(l.f.arch(), name); !ok || !allowed[name] && !ruled[name] {
				continue
			}
			l.rule(name, n.make(l, all), all)
		}
	}
	for _, c := range l.refused {
		if !ruled[c.Name] && !allowed[c.Name] && !l.hasRule(c.Name) {
			l.own.Syscalls.Rules = append(l.own.Syscalls.Rules, policy.SyscallRule{Call: c.Name, Expr: "errno(" + c.Errno + ")", Quiet: true, Pos: c.At})
			l.comment(ruleKey(len(l.own.Syscalls.Rules)-1), c.Name+" always ended with "+c.Errno+", and the program went on.")
		}
	}
	for _, name := range slices.Sorted(keysOf(ruled)) {
		if !allowed[name] && !l.hasRule(name) {
			l.own.Syscalls.Rules = append(l.own.Syscalls.Rules, policy.SyscallRule{Call: name, Expr: "errno(EPERM)"})
			l.comment(ruleKey(len(l.own.Syscalls.Rules)-1), name+" was not called; the rule for it that is inherited would allow it.")
		}
	}
}

// hasRule reports whether the new profile already has a rule about a call.
func (l *learner) hasRule(call string) bool {
	return slices.ContainsFunc(l.own.Syscalls.Rules, func(r policy.SyscallRule) bool { return r.Call == call })
}

func ruleKey(i int) string { return "syscalls.rules[" + strconv.Itoa(i) + "]" }

// rule adds a condition for a call. expr is "" if no useful condition exists.
func (l *learner) rule(call, expr string, all []*Call) {
	if expr == "" {
		return
	}
	at := policy.Pos{}
	if len(all) > 0 {
		at = all[0].At
	}
	if err := filter.CheckRule(filter.Rule{Call: call, Expr: expr}); err != nil {
		l.note(Note{Kind: Left, What: "a rule for " + call, Why: err.Error(), At: at})
		return
	}
	l.own.Syscalls.Rules = append(l.own.Syscalls.Rules, policy.SyscallRule{Call: call, Expr: expr, Pos: at})
}

// architectures adds the architectures of recorded calls that are not the machine's own.
func (l *learner) architectures() {
	s := &l.own.Syscalls
	for i := range l.f.Calls {
		c := &l.f.Calls[i]
		abi := l.f.abi(c)
		if c.Arch == "" || refused(c.Errno) || abi == l.f.arch() || !l.f.arch().Hosts(abi) {
			continue
		}
		name := abi.String()
		if !slices.Contains(s.Arches, name) && !slices.Contains(l.parent.Syscalls.Arches, name) {
			if s.Arches = append(s.Arches, name); len(s.Arches) == 1 {
				s.Arches = []string{"native", name}
			}
			l.note(Note{Kind: Widened, What: "the architecture " + name, Why: "calls of it were made: the same names are allowed there", At: c.At})
		}
	}
}
