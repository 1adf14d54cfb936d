package filter

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestParseQuery(t *testing.T) {
	for _, c := range []struct {
		src  string
		abi  Arch
		nr   uint32
		call string
		args string // NAME=VALUE for each known argument
	}{
		{"keyctl", AMD64, 250, "keyctl", ""},
		{"keyctl()", AMD64, 250, "keyctl", ""},
		{"435", AMD64, 435, "clone3", ""},
		{"0x1b3", ARM64, 435, "clone3", ""},
		{"1000", AMD64, 1000, "", ""},
		{"0x40000001", AMD64, X32Bit | 1, "write", ""},
		{"1", X32, X32Bit | 1, "write", ""},
		{"execve", X32, X32Bit | 520, "execve", ""},
		{"4294967295", AMD64, 1<<32 - 1, "", ""},
		{"socket(AF_INET, SOCK_STREAM, 0)", AMD64, 41, "socket", "family=2 type=1 protocol=0"},
		{"socket( AF_INET ,SOCK_STREAM|SOCK_CLOEXEC)", AMD64, 41, "socket", "family=2 type=524289"},
		{"socket(_, SOCK_RAW)", AMD64, 41, "socket", "type=3"},
		{"socket(AF_INET, …", AMD64, 0, "", "expected )"},
		{"socket(AF_INET, ...)", AMD64, 41, "socket", "family=2"},
		{"socket(protocol=6, family=AF_UNIX)", AMD64, 41, "socket", "family=1 protocol=6"},
		{`openat(AT_FDCWD, "/x, (y\"", O_RDONLY)`, AMD64, 257, "openat", "dirfd=18446744073709551516 flags=0"},
		{`openat(AT_FDCWD, NULL, O_DIRECTORY)`, ARM64, 56, "openat", "dirfd=18446744073709551516 pathname=0 flags=16384"},
		{"kill(-1, SIGKILL)", I386, 37, "kill", "pid=4294967295 sig=9"},
		{"connect(3, {sa_family=AF_INET, sin_port=htons(80)}, 16)", AMD64, 42, "connect", "sockfd=3 addrlen=16"},
		{"pread64(3, _, 10, 1<<40)", AMD64, 17, "pread64", "fd=3 count=10 offset=1099511627776"},
		{"getpid(reg5=7)", AMD64, 39, "getpid", "reg5=7"},
		{"kcmp(1, 2, type=0)", AMD64, 312, "kcmp", "pid1=1 pid2=2 type=0"},

		{"sokcet(1)", AMD64, 0, "", "column 1: unknown system call"},
		{"@keyring", AMD64, 0, "", "column 1: @keyring is a group, not a call"},
		{"@keyrng", AMD64, 0, "", "column 1: unknown group"},
		{"", AMD64, 0, "", "column 1: unknown system call"},
		{"open", ARM64, 0, "", "column 1: arm64 has no system call open (open is a call of amd64, i386, arm, x32)"},
		{"socket(1, 2, 3, 4)", AMD64, 0, "", "column 17: socket has no argument 4 (socket has family, type, protocol)"},
		{"socket(AF_INTE)", AMD64, 0, "", `column 8: unknown name "AF_INTE" (did you mean AF_INET?)`},
		{"socket(1, AF_INTE)", AMD64, 0, "", `column 11: unknown name "AF_INTE"`},
		{"socket(famliy=1)", AMD64, 0, "", `column 8: socket has no argument "famliy"`},
		{"socket(type=AF_INTE)", AMD64, 0, "", `column 13: unknown name "AF_INTE"`},
		{"socket(family)", AMD64, 0, "", `column 8: "family" is an argument, not a value`},
		{"socket(1 == 1)", AMD64, 0, "", `column 8: "1 == 1" is a condition, not a value`},
		{"socket(1,,2)", AMD64, 0, "", "column 10: an argument is missing"},
		{"socket(1 2)", AMD64, 0, "", `column 10: unexpected "2"`},
		{"socket(1) x", AMD64, 0, "", "expected ) at the end"},
		{"99999999999", AMD64, 0, "", "column 1: unknown system call"},
		{"getpid(1)", AMD64, 0, "", "column 8: getpid has no argument 1"},
	} {
		q, err := ParseQuery(c.src, c.abi)
		if err != nil {
			if c.call != "" || c.nr != 0 || !strings.Contains(err.Error(), c.args) {
				t.Errorf("%s on %s: %v, want %s", c.src, c.abi, err, c.args)
			}
			continue
		}
		var known []string
		for _, a := range q.Args {
			if a.Known {
				known = append(known, a.Name+"="+number{bits: a.Value}.String())
			}
		}
		if q.Nr != c.nr || q.Call != c.call || strings.Join(known, " ") != c.args {
			t.Errorf("%s on %s: %s, number %#x, %q, want %s, %#x, %q", c.src, c.abi, q.Call, q.Nr, known, c.call, c.nr, c.args)
		}
	}
}

func TestAsk(t *testing.T) {
	s := Spec{Allow: items("@system-service"), Deny: items("@keyring"), Rules: []Rule{
		{Call: "socket", Expr: "in(family, AF_UNIX, AF_INET) && protocol != IPPROTO_MPTCP", From: "p:1"},
		{Call: "socket", Expr: "type != SOCK_RAW", Else: killed, From: "p:2"},
		{Call: "clone", Expr: "flags & CLONE_NEW_ANY == 0", From: "p:3"},
	}}
	for _, c := range []struct{ src, want string }{
		{"keyctl", "errno(EPERM) by 2"},
		{"read", "allow by 5"},
		{"mount", "errno(EPERM) by 6"},
		{"socket", "kill by 4, errno(EPERM) by 4, allow by 4"},
		{"socket(type=SOCK_RAW)", "kill by 4"},
		{"socket(type=SOCK_STREAM)", "errno(EPERM) by 4, allow by 4"},
		{"socket(AF_VSOCK)", "kill by 4, errno(EPERM) by 4"},
		{"socket(AF_VSOCK, 1)", "errno(EPERM) by 4"},
		{"socket(AF_UNIX, 1)", "errno(EPERM) by 4, allow by 4"},
		{"socket(AF_UNIX, 1, 6)", "allow by 4"},
		{"clone(CLONE_NEWUSER)", "errno(EPERM) by 4"},
		{"clone(SIGCHLD)", "allow by 4"},
		{"4242", "errno(ENOSYS) by 1"},
	} {
		q, err := ParseQuery(c.src, AMD64)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Ask(s, AMD64, q)
		var texts []string
		for _, o := range got {
			texts = append(texts, o.Action.String()+" by "+string(rune('0'+o.By)))
			if !o.Found {
				t.Errorf("%s: no example for %s", c.src, o.Action)
			}
		}
		if g := strings.Join(texts, ", "); err != nil || g != c.want {
			t.Errorf("%s: %s %v, want %s", c.src, g, err, c.want)
		}
	}
	if _, err := Ask(Spec{Allow: items("opem")}, AMD64, &Query{ABI: AMD64}); err == nil {
		t.Error("a wrong Spec was explained")
	}
}

// holdAsk compares Ask with the program. Every example must lead to its action, and no arguments may lead to an action
// that Ask does not return.
func holdAsk(t *testing.T, g gen, s *Spec, native Arch) {
	t.Helper()
	p, err := Compile(*s, native)
	if err != nil {
		return // another test reports this error
	}
	for range 20 {
		call := pick(g, someCalls)
		abi := pick(g, append([]Arch{native}, s.Foreign...))
		q, err := ParseQuery(call, abi)
		if err != nil {
			continue
		}
		values := g.args()
		for i := range q.Args {
			if q.Args[i].Known = g.IntN(2) == 0; q.Args[i].Known {
				q.Args[i].Value = values[i]
			}
		}
		got, err := Ask(*s, native, q)
		if err != nil {
			t.Fatal(err)
		}
		possible := map[Action]bool{}
		for _, o := range got {
			possible[o.Action] = true
			d := q.Data(o.Args)
			if a := p.Action(&d); o.Found && a != o.Action {
				t.Fatalf("%+v\n%s on %s with %#x: the program says %v, the example is for %v", s, call, abi, d.Args, a, o.Action)
			}
		}
		for range 20 {
			d := q.Data(g.args())
			if a := p.Action(&d); !possible[a] {
				t.Fatalf("%+v\n%s on %s with %#x: %v is none of %v", s, call, abi, d.Args, a, got)
			}
		}
	}
}

func TestAskRandom(t *testing.T) {
	for seed := range uint64(300) {
		g := gen{rand.New(rand.NewPCG(seed, 21))}
		native := pick(g, []Arch{AMD64, ARM64, RISCV64})
		s := g.spec(native)
		holdAsk(t, g, &s, native)
	}
}

func FuzzQuery(f *testing.F) {
	for _, s := range []string{"socket(AF_INET, SOCK_STREAM, 0)", `openat(AT_FDCWD, "/x", flags=O_RDONLY)`, "435", "kill(_, -1, …)", "f({[(", `f("\`} {
		f.Add(s)
	}
	s := defaultSpec()
	f.Fuzz(func(t *testing.T, src string) {
		for a := AMD64; a <= X32; a++ {
			q, err := ParseQuery(src, a)
			if err != nil {
				if e, ok := err.(*Error); !ok || e.Col < 0 || e.Col > len(src)+2 {
					t.Fatalf("%q: %v", src, err)
				}
				continue
			}
			if a == AMD64 {
				if _, err := Ask(s, AMD64, q); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// TestNotes checks that the note of each first load names the call and the rule of the check, and that the note of each
// comparison of a number names a call.
func TestNotes(t *testing.T) {
	s := Spec{Allow: items("@system-service"), Foreign: []Arch{I386, X32}, Rules: []Rule{
		{Call: "socket", Expr: "family == AF_UNIX", From: "p.yaml:7"}, {Call: "mmap", Expr: "prot & PROT_EXEC == 0", From: "p.yaml:8"},
	}}
	p := mustCompile(t, s, AMD64)
	notes, err := Notes(s, p)
	if err != nil {
		t.Fatal(err)
	}
	text := p.Asm(notes)
	for _, want := range []string{"; family, low half; socket, socket on i386, socket on x32 (p.yaml:7)", "; prot, low half; mmap, mmap2 on i386, mmap on x32 (p.yaml:8)", "\tjeq #0xd9, l239, l238\t; pivot_root\n", "\t; arch\n", "; i386\n", "; from x32's numbers on\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	for i, n := range notes {
		if in := p.Insns[i]; n == "" && (in.Code == opLoad || in.Code == opRet) {
			t.Errorf("instruction %d has no note", i)
		}
	}
	d := Data{Nr: 41, Arch: AMD64.Audit(), Args: [6]uint64{2}}
	steps := p.Trace(&d, notes)
	last := steps[len(steps)-1]
	if last.Did != "errno(EPERM)" || steps[0].Did != "A = 0xc000003e" || steps[len(steps)-2].Did != "0x2 == 0x1: no" {
		t.Errorf("%+v", steps)
	}
}

func TestPFC(t *testing.T) {
	s := Spec{Allow: items("read"), Rules: []Rule{{Call: "socket", Expr: "family == AF_UNIX && type & 0xf != SOCK_RAW"}, {Call: "mremap", Expr: "old_size >= new_size"}}}
	text, err := PFC(s, AMD64)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"# filter for arch amd64 (3221225534)\nif ($arch == 3221225534)\n  # filter for syscall \"read\" (0)\n  if ($syscall == 0)\n    action ALLOW;\n",
		"  if ($syscall == 41)\n    if (!(($a0.lo32 == 0x1 && (($a1.lo32 & 0xf) <= 0x2 || ($a1.lo32 & 0xf) >= 0x4))))\n      action ERRNO(1);\n    action ALLOW;\n",
		"$a1.hi32 > $a2.hi32",
		"action KILL_PROCESS;\n#\n# pseudo filter code end\n#\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%.3000s", want, text)
		}
	}
}

func TestBytes(t *testing.T) {
	p := &Program{Insns: []Insn{{opJeq, 1, 2, 0xc000003e}}}
	if got := string(p.Bytes()); got != "\x15\x00\x01\x02\x3e\x00\x00\xc0" {
		t.Errorf("%q", got)
	}
	if text := p.C("x", []string{"a */ b\n\x1b"}); !strings.Contains(text, "{ 0x15, 1, 2, 0xc000003e }, /* jeq #0xc000003e, l2, l3; a * / b?? */") {
		t.Error(text)
	}
}
