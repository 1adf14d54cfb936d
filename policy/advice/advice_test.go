package advice_test

import (
	"strings"
	"testing"

	"cordon/policy"
	"cordon/policy/advice"
	"cordon/policy/filter"
	"cordon/profiles"
)

func load(t *testing.T, name string) *policy.Profile {
	t.Helper()
	p, err := profiles.Search{}.Load([]string{name}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func query(t *testing.T, call string) *filter.Query {
	t.Helper()
	q, err := filter.ParseQuery(call, filter.AMD64)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestFor(t *testing.T) {
	narrow := &policy.Profile{Version: 1, Name: "narrow", Syscalls: policy.Syscalls{Exec: policy.ExecOnce, Allow: []policy.SyscallItem{{Name: "execve"}, {Name: "exit_group"}},
		Rules: []policy.SyscallRule{{Call: "@mount", Expr: "errno(ENOSYS)"}, {Call: "kill", Expr: "sig == SIGTERM", Else: "kill"}, {Call: "prctl", Expr: "op == PR_SET_NAME"}}}}
	for _, c := range []struct {
		profile, call, flags, opens, note string
	}{
		{"default", "kcmp(1, 2, 3, 4, 5)", "--allow-syscall kcmp", "kcmp with any arguments", ""},
		{"default", "socket(AF_VSOCK, SOCK_STREAM, 0)", "--remove syscalls=socket: in(family, AF_UNIX, AF_INET, AF_INET6, AF_NETLINK) " +
			"--rule socket: (in(family, AF_UNIX, AF_INET, AF_INET6, AF_NETLINK)) || family == AF_VSOCK", "socket with family AF_VSOCK, whatever the rest", ""},
		// Both rules that deny the call are widened, each for the arguments that either rule compares.
		{"default", "socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG)", "", "socket with family AF_NETLINK, protocol NETLINK_SOCK_DIAG, whatever the rest", ""},
		{"net-client", "socket(AF_UNIX, SOCK_DGRAM, 0)", "--remove syscalls=socket: family != AF_UNIX", "socket with family AF_UNIX, whatever the rest", ""},
		{"net-client", "socket(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC|SOCK_NONBLOCK, 0)", "", "socket with family AF_UNIX, type SOCK_STREAM|SOCK_CLOEXEC|SOCK_NONBLOCK, whatever the rest", ""},
		{"default", "personality(4)", "", "personality with persona 4, and nothing else", ""},
		{"default", "clone3(0, 0)", "--remove syscalls=clone3: errno(ENOSYS)", "clone3 with any arguments; clone3 leads round the rule for clone: its arguments stand behind a pointer", ""},
		{"default", "keyctl(0)", "", "", "no flag allows it: a denial holds wherever it was inherited from, and only grows. Write a profile that does not extend base."},
		{"default", "chmod(_, 04755)", "", "", policy.SetIDRemedy},
		{"default", "openat(3, _, O_CREAT, 06755)", "", "", policy.SetIDMaking},
		{"default", "1000", "", "", "a number that no table has cannot be allowed alone; --syscall-unknown decides all of them"},
		{"narrow", "execve(_, _, _)", "--exec any", "execve with any arguments", ""},
		{"narrow", "mount(_, _)", "", "", "a rule for the whole group @mount decides it"},
		{"narrow", "kill(1, SIGKILL)", "", "", "a flag cannot say else: kill; in a file the rule would be kill: (sig == SIGTERM) || sig == SIGKILL"},
		{"narrow", "kill(1)", "", "", "no flag was found that allows this call and no other"},
	} {
		p := narrow
		if c.profile != narrow.Name {
			p = load(t, c.profile)
		}
		a := advice.For(p, filter.AMD64, query(t, c.call))
		flags := strings.Join(advice.Words(a.Flags), " ")
		if c.flags != "" && flags != c.flags || a.Opens != c.opens || a.Note != c.note || (len(a.Flags) > 0) == (a.Note != "") {
			t.Errorf("%s: %s:\n got %q; %q; %q\nwant %q; %q; %q", c.profile, c.call, flags, a.Opens, a.Note, c.flags, c.opens, c.note)
		}
	}
}

// TestOpensNoMore applies the advice about many calls to the shipped profiles, and compares the filters. The call must
// pass, and no class of arguments may pass that the text does not name.
func TestOpensNoMore(t *testing.T) {
	calls := strings.Fields("kcmp ptrace add_key io_uring_setup perf_event_open mount reboot sethostname chroot userfaultfd vhangup acct")
	for _, family := range strings.Fields("AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET AF_VSOCK AF_ALG 5 29") {
		for _, protocol := range strings.Fields("0 262 NETLINK_AUDIT") {
			for _, typ := range strings.Fields("SOCK_RAW SOCK_STREAM|SOCK_CLOEXEC|SOCK_NONBLOCK") {
				calls = append(calls, "socket("+family+", "+typ+", "+protocol+")")
			}
		}
		calls = append(calls, "socketpair("+family+", SOCK_DGRAM, 0)")
	}
	calls = append(calls, "ioctl(0, TIOCSTI, 0)", "ioctl(0, TIOCLINUX)", "fcntl(3, F_SETLEASE, 1)", "fcntl(3, F_GETLK)", "personality(0x40000)", "clone(CLONE_NEWUSER)",
		"clone(CLONE_NEWUSER|CLONE_NEWNET)", "prlimit64(1, 2)", "setsockopt(3, IPPROTO_TCP, TCP_ULP)", "flock(3, 2)", "prctl(PR_SET_SECCOMP)")
	advised := 0
	for _, name := range []string{"default", "net-client", "strict"} {
		p := load(t, name)
		for _, call := range calls {
			if advises(t, p, call) {
				advised++
			}
		}
	}
	if advised < 60 {
		t.Errorf("only %d pieces of advice", advised)
	}
}

func advises(t *testing.T, p *policy.Profile, call string) bool {
	t.Helper()
	q := query(t, call)
	a := advice.For(p, filter.AMD64, q)
	if len(a.Flags) == 0 {
		return false
	}
	over, err := advice.Overlay(a.Flags)
	if err != nil {
		t.Fatal(err)
	}
	before, after := spec(t, p), spec(t, policy.Merge(p, over))
	v, err := filter.Explain(after, filter.AMD64, q.Data([6]uint64{}))
	if err != nil || v.Action.Kind != filter.Allow {
		t.Errorf("%s: %s: with %q it is %v, %v", p.Name, call, advice.Words(a.Flags), v, err)
	}
	opened, err := filter.Opened(before, after, filter.AMD64)
	if err != nil {
		t.Fatal(err)
	}
	for i := range opened {
		o := &opened[i]
		if !strings.Contains(a.Opens, o.Call) {
			t.Errorf("%s: %s: %q opens %s, and says %q", p.Name, call, advice.Words(a.Flags), o.Call, a.Opens)
		}
		for _, c := range o.Cases {
			if family := c.Args[0]; q.Call == "socket" && family.Mask&0xffffffff != 0xffffffff || q.Call == "socket" && family.Value != q.Args[0].Value {
				t.Errorf("%s: %s: %q opens other families: %v", p.Name, call, advice.Words(a.Flags), c)
			}
		}
	}
	return true
}

func spec(t *testing.T, p *policy.Profile) filter.Spec {
	t.Helper()
	s, err := p.ProgramFilter()
	if err != nil {
		t.Fatal(err)
	}
	return s
}
