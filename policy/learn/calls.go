package learn

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/policy/recording"
)

// refused reports an error that says that the call was not carried out at all: a call that always ended so is not needed.
func refused(errno string) bool { return errno == "ENOSYS" || errno == "EPERM" }

// syscalls learns the section.
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

// seenCalls is one fact for each call that is to be allowed, sorted by name.
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
		}
	}
	slices.SortFunc(seen, func(a, b *Call) int { return cmp.Compare(a.Name, b.Name) })
	return seen
}

// unseen adds the calls that a back end does not show: reading, waiting, memory and the like. Whether they were made is not
// known, and nothing runs without them.
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
			if unusual, _ := l.unusual(&Call{Name: name}); unusual { // no back end leaves out what few programs call
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

// related adds what keeps working with another libc.
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
			add("seccomp") // which it counts as
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

// threaded reports whether a program made threads: by clone3, of which the flags may not be known, too.
func (l *learner) threaded() bool {
	return slices.ContainsFunc(l.f.Calls, func(c Call) bool {
		flags, _ := c.arg("flags")
		return c.Name == "clone3" || c.Name == "clone" && flags&cloneThread != 0
	})
}

// denies reports whether the profile below forbids the call, or settles it by an action.
func (l *learner) denies(name string) bool {
	q, err := filter.ParseQuery(name, l.f.arch())
	if err != nil {
		return true
	}
	found, err := filter.Ask(l.parentSpec, l.f.arch(), q)
	return err == nil && len(found) == 1 && found[0].Action.Kind != filter.Allow && found[0].By != filter.ByDefault
}

// forbids reports whether the profile below denies the call as it was made, by a rule for it.
func (l *learner) forbids(c *Call) bool {
	found, err := filter.Ask(l.parentSpec, l.f.arch(), l.f.query(c))
	return err == nil && len(found) == 1 && found[0].Action.Kind != filter.Allow && found[0].By != filter.ByDefault
}

// parentRules are the calls that the profile below has rules for: allowed already where those hold.
func (l *learner) parentRules() map[string]bool {
	ruled := map[string]bool{}
	for _, r := range l.parent.Syscalls.Rules {
		if !strings.HasPrefix(r.Call, "@") && !l.denies(r.Call) {
			ruled[r.Call] = true
		}
	}
	return ruled
}

// rules narrows calls by their arguments.
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
	for _, name := range slices.Sorted(keysOf(ruled)) {
		if !allowed[name] && !slices.ContainsFunc(l.own.Syscalls.Rules, func(r policy.SyscallRule) bool { return r.Call == name }) {
			l.own.Syscalls.Rules = append(l.own.Syscalls.Rules, policy.SyscallRule{Call: name, Expr: "errno(EPERM)"})
			l.comment(ruleKey(len(l.own.Syscalls.Rules)-1), name+" was not called; the rule for it that is inherited would allow it.")
		}
	}
}

func ruleKey(i int) string { return "syscalls.rules[" + strconv.Itoa(i) + "]" }

// rule adds a condition, unless there is none worth having.
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

// narrowings are the rules that are worth having, with calls that do the same and get the same rule.
var narrowings = [...]struct {
	call string
	with []string
	make func(l *learner, all []*Call) string
}{
	{"socket", nil, sockets},
	{"socketpair", nil, sockets},
	{"ioctl", nil, func(l *learner, all []*Call) string {
		return l.oneOf("cmd", "uint32(cmd)", all, "cmd", "TCGETS", "TCGETS2", "TIOCGWINSZ", "FIONBIO", "FIOCLEX", "FIONCLEX")
	}},
	{"fcntl", []string{"fcntl64"}, func(l *learner, all []*Call) string {
		return l.oneOf("cmd", "uint32(cmd)", all, "cmd", "F_DUPFD", "F_DUPFD_CLOEXEC", "F_GETFD", "F_SETFD", "F_GETFL", "F_SETFL")
	}},
	{"prctl", nil, func(l *learner, all []*Call) string {
		return l.oneOf("op", "uint32(op)", all, "op", "PR_SET_NAME", "PR_GET_NAME", "PR_SET_VMA")
	}},
	{"clone", nil, cloneFlags},
	{"open", []string{"openat"}, openFlags},
	{"openat2", nil, openat2Flags},
	{"mmap", []string{"mmap2"}, mmapProt},
	{"mprotect", []string{"pkey_mprotect"}, mprotectProt},
	{"personality", nil, func(l *learner, all []*Call) string { return l.oneOf("persona", "uint32(persona)", all, "persona") }},
	{"unshare", nil, func(l *learner, all []*Call) string { return l.oneOf("flags", "", all, "flags") }},
	{"setns", nil, func(l *learner, all []*Call) string { return l.oneOf("nstype", "", all, "nstype") }},
	{"bpf", nil, func(l *learner, all []*Call) string { return l.oneOf("cmd", "", all, "cmd") }},
	{"keyctl", nil, func(l *learner, all []*Call) string { return l.oneOf("op", "", all, "op") }},
	{"seccomp", nil, func(l *learner, all []*Call) string { return l.oneOf("operation", "", all, "operation") }},
}

// maxValues is how many values a rule lists; a program that uses more has no small set of them.
const maxValues = 64

// oneOf is in(arg, …) of the values seen and of those always allowed; "" where a call's argument was not recorded.
func (l *learner) oneOf(arg, spelled string, all []*Call, name string, always ...string) string {
	spelled = cmp.Or(spelled, arg)
	var values []uint64
	var words []string
	for _, c := range all {
		v, ok := c.arg(name)
		if !ok {
			return ""
		}
		if !slices.Contains(values, v) {
			values = append(values, v)
			words = append(words, l.spell(c.Name, name, v))
		}
	}
	if len(words) == 0 && len(always) == 0 {
		return ""
	}
	if len(words) > maxValues {
		l.note(Note{Kind: Widened, What: all[0].Name, Why: "it was called with more than " + strconv.Itoa(maxValues) + " different values of " + arg + ": no rule limits it", At: all[0].At})
		return ""
	}
	for _, w := range always {
		if v, _, ok := filter.Constant(w, l.f.arch()); ok && !slices.Contains(values, v) && !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	slices.Sort(words)
	if len(words) == 1 {
		return spelled + " == " + words[0]
	}
	return "in(" + spelled + ", " + strings.Join(words, ", ") + ")"
}

// spell is a value as a rule would write it: by its name where it has one.
func (l *learner) spell(call, arg string, v uint64) string {
	q, err := filter.ParseQuery(call, l.f.arch())
	if err == nil {
		for i := range q.Args {
			if q.Args[i].Name != arg {
				continue
			}
			d := q.Data([6]uint64{})
			d.Args[i] = v
			words := filter.Decode(&d, nil).Args
			if i < len(words) && words[i] != "" && words[i][0] >= 'A' && filter.ParseExpr(call, arg+" == "+words[i]) == nil {
				return words[i]
			}
		}
	}
	return "0x" + strconv.FormatUint(v, 16)
}

// sockets allows the families, with their types; of those that have protocols of different reach the protocol too.
func sockets(l *learner, all []*Call) string {
	type family struct {
		family     string
		types      []string
		protocols  []string
		byProtocol bool
	}
	var list []*family
	for _, c := range all {
		f, ok1 := c.arg("family")
		t, ok2 := c.arg("type")
		p, ok3 := c.arg("protocol")
		if !ok1 || !ok2 || !ok3 {
			return ""
		}
		if isMPTCP(c) && l.forbids(c) {
			l.note(Note{Kind: Left, What: "a socket of multipath TCP", Why: "the profile below denies it, and a program takes TCP in its place", At: c.At})
		}
		name := strings.Replace(l.spell("socket", "family", f), "AF_LOCAL", "AF_UNIX", 1)
		i := slices.IndexFunc(list, func(x *family) bool { return x.family == name })
		if i < 0 {
			i = len(list)
			list = append(list, &family{family: name, byProtocol: name != "AF_UNIX" && name != "AF_INET" && name != "AF_INET6"})
		}
		x := list[i]
		if word := l.spell("socket", "type", t&0xf); !slices.Contains(x.types, word) {
			x.types = append(x.types, word)
		}
		protocol := "0x" + strconv.FormatUint(p, 16)
		if name == "AF_NETLINK" {
			protocol = l.netlink(p)
		}
		if !slices.Contains(x.protocols, protocol) {
			x.protocols = append(x.protocols, protocol)
		}
		x.byProtocol = x.byProtocol || t&0xf == 3 // SOCK_RAW
	}
	slices.SortFunc(list, func(a, b *family) int { return cmp.Compare(a.family, b.family) })
	var terms []string
	for _, x := range list {
		term := "family == " + x.family
		if x.family != "AF_NETLINK" {
			term += " && " + in("type & 0xf", x.types)
		}
		if x.byProtocol {
			term += " && " + in("protocol", x.protocols)
		}
		terms = append(terms, term)
	}
	return strings.Join(terms, " || ")
}

// netlink is the name of a netlink protocol.
func (l *learner) netlink(p uint64) string {
	for _, name := range []string{"NETLINK_ROUTE", "NETLINK_KOBJECT_UEVENT", "NETLINK_GENERIC", "NETLINK_AUDIT", "NETLINK_NETFILTER", "NETLINK_SOCK_DIAG", "NETLINK_XFRM"} {
		if v, _, ok := filter.Constant(name, l.f.arch()); ok && v == p {
			return name
		}
	}
	return "0x" + strconv.FormatUint(p, 16)
}

func in(what string, values []string) string {
	slices.Sort(values)
	if len(values) == 1 {
		return what + " == " + values[0]
	}
	return "in(" + what + ", " + strings.Join(values, ", ") + ")"
}

// cloneNamespaces are the flags of clone(2) that make namespaces: CLONE_NEWCGROUP, UTS, IPC, USER, PID, NET, NS and TIME.
const cloneNamespaces = 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000 | 0x00020000 | 0x00000080

// cloneFlags forbids new namespaces where none were made.
func cloneFlags(l *learner, all []*Call) string {
	for _, c := range all {
		if v, ok := c.arg("flags"); !ok || v&(cloneNamespaces&^0xff) != 0 {
			return ""
		}
	}
	if slices.ContainsFunc(l.parent.Syscalls.Rules, func(r policy.SyscallRule) bool { return r.Call == "clone" }) {
		return "" // inherited
	}
	return "flags & CLONE_NEW_ANY == 0"
}

// openFlags forbids writing where nothing was opened to write.
func openFlags(l *learner, all []*Call) string {
	if l.reader() {
		return "flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC) == 0"
	}
	return ""
}

// openat2Flags shuts the way round: its flags stand behind a pointer, and libc goes on with openat.
func openat2Flags(l *learner, all []*Call) string {
	if l.reader() && len(all) == 0 {
		return "errno(ENOSYS)"
	}
	return ""
}

// reader reports whether the program opened files for reading only, with flags that were all recorded.
func (l *learner) reader() bool {
	opened := false
	for i := range l.f.Calls {
		c := &l.f.Calls[i]
		if !slices.Contains([]string{"open", "openat", "openat2", "creat", "open_by_handle_at"}, c.Name) || refused(c.Errno) {
			continue
		}
		opened = true
		v, ok := c.arg("flags")
		if !ok || v&(0x1|0x2|0x40|0x200) != 0 { // O_WRONLY, O_RDWR, O_CREAT, O_TRUNC
			return false
		}
	}
	for i := range l.f.Paths {
		if l.f.Paths[i].Access&(recording.Write|recording.Create|recording.Truncate) != 0 {
			return false
		}
	}
	return opened
}

// PROT_WRITE and PROT_EXEC of mmap(2).
const protWrite, protExec = 0x2, 0x4

// mmapProt forbids memory that is written and executed where there was none.
func mmapProt(l *learner, all []*Call) string {
	for _, c := range all {
		if v, ok := c.arg("prot"); !ok || v&protWrite != 0 && v&protExec != 0 {
			return ""
		}
	}
	if len(all) == 0 && l.notShown("mmap") {
		return ""
	}
	return "prot & (PROT_WRITE | PROT_EXEC) != PROT_WRITE | PROT_EXEC"
}

// mprotectProt forbids making memory executable where none was made.
func mprotectProt(l *learner, all []*Call) string {
	for _, c := range all {
		if v, ok := c.arg("prot"); !ok || v&protExec != 0 {
			return ""
		}
	}
	if len(all) == 0 && l.notShown("mprotect") {
		return ""
	}
	return "prot & PROT_EXEC == 0"
}

// notShown reports whether a back end leaves the call out, so that its absence says nothing.
func (l *learner) notShown(call string) bool {
	return slices.ContainsFunc(l.f.Header.Runs, func(r recording.Run) bool { return slices.Contains(r.Unseen(), call) })
}

// architectures adds those of calls that were made by another.
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
