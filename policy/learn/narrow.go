package learn

// This file makes rules that allow a call only with the arguments that the recording shows.

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/policy/recording"
)

// narrowings lists the calls for which rules are useful. with lists calls that have the same effect and get the same
// rule.
var narrowings = [...]struct {
	call string
	with []string
	make func(l *learner, all []*Call) string
}{
	{"socket", nil, sockets},
	{"socketpair", nil, sockets},
	{"ioctl", nil, func(l *learner, all []*Call) string {
		return l.oneOf("cmd", "uint32(cmd)", all, "cmd", "TCGETS", "TCGETS2", "TIOCGWINSZ",
			"FIONBIO", "FIOCLEX", "FIONCLEX")
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

// maxValues is how many values a rule may list. If a program uses more values, a list of them would be no useful limit.
const maxValues = 64

// oneOf returns in(arg, …) with the recorded values and the values that are always allowed. It returns "" if the
// argument of some call was not recorded.
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

// spell returns a value as a rule would write it: by its name if it has one.
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

// sockets allows the recorded families, and in each family the recorded types. If the protocols of a family differ in
// what they can reach, the rule also compares the protocol.
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

// netlink returns the name of a netlink protocol, or its number if it is unknown.
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

// cloneNamespaces has the flags of clone(2) that make namespaces: CLONE_NEWCGROUP, UTS, IPC, USER, PID, NET, NS and
// TIME.
const cloneNamespaces = 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000 | 0x00020000 | 0x00000080

// cloneFlags forbids new namespaces if the program made none.
func cloneFlags(l *learner, all []*Call) string {
	for _, c := range all {
		if v, ok := c.arg("flags"); !ok || v&(cloneNamespaces&^0xff) != 0 {
			return ""
		}
	}
	if slices.ContainsFunc(l.parent.Syscalls.Rules, func(r policy.SyscallRule) bool { return r.Call == "clone" }) {
		return "" // the parent profile has the rule
	}
	return "flags & CLONE_NEW_ANY == 0"
}

// openFlags forbids opening for writing if the program opened nothing for writing.
func openFlags(l *learner, all []*Call) string {
	if l.reader() {
		return "flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC) == 0"
	}
	return ""
}

// openat2Flags denies openat2. Its flags are behind a pointer, which a filter cannot read, so a program could use
// openat2 to avoid the rule for openat. libc then uses openat.
func openat2Flags(l *learner, all []*Call) string {
	if l.reader() && len(all) == 0 {
		return "errno(ENOSYS)"
	}
	return ""
}

// reader reports whether the program opened files only for reading, with flags that were all recorded.
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

// These are PROT_WRITE and PROT_EXEC of mmap(2).
const protWrite, protExec = 0x2, 0x4

// mmapProt denies memory that is both writable and executable, if the program mapped no such memory.
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

// mprotectProt denies making memory executable, if the program made no memory executable.
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

// notShown reports whether a back end never records the call, so that its absence means nothing.
func (l *learner) notShown(call string) bool {
	return slices.ContainsFunc(l.f.Header.Runs, func(r recording.Run) bool { return slices.Contains(r.Unseen(), call) })
}
