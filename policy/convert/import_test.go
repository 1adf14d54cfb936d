package convert

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/profiles"
)

var amd64 = Target{Arch: filter.AMD64, Kernel: Kernel{6, 18}, Caps: DockerCaps()}

// section imports a file and returns the profile with its syscalls section.
func section(t testing.TB, text string, target Target, opts ImportOptions) (*policy.Profile, *Result) {
	t.Helper()
	res, err := Import("dir/Some Profile.json", []byte(text), target, opts)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	p, err := policy.Parse("out", res.Text)
	if err == nil {
		err = policy.Validate(p)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, res.Text)
	}
	return p, res
}

func rulesOf(p *policy.Profile) (out []string) {
	for _, r := range p.Syscalls.Rules {
		s := r.Call + ": " + r.Expr
		if r.Else != "" {
			s += " else " + r.Else
		}
		out = append(out, s)
	}
	return out
}

func itemsOf(list []policy.SyscallItem) (out []string) {
	for _, x := range list {
		out = append(out, x.Name)
	}
	return out
}

// inexact returns the notes about rules that are not exact: class, effect and rule.
func inexact(res *Result) (out []string) {
	for _, n := range res.Notes {
		if strings.HasPrefix(n.Rule, newerThan) { // nearly every file here has this note; TestImportNewer tests it
			continue
		}
		if n.Class != Exact {
			out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s", n.Class, n.Effect, n.Rule)))
		}
	}
	return out
}

func TestImport(t *testing.T) {
	const errno, allow = `"defaultAction":"SCMP_ACT_ERRNO"`, `"defaultAction":"SCMP_ACT_ALLOW"`
	one := func(top, entry string) string { return "{" + top + `,"syscalls":[` + entry + "]}" }
	args := func(list string) string {
		return one(errno, `{"names":["kill"],"action":"SCMP_ACT_ALLOW","args":[`+list+`]}`)
	}
	for _, c := range []struct {
		name, text string
		allow      string
		deny       string
		rules      []string
		notes      []string
	}{
		{name: "names", text: one(errno, `{"names":["read","write"],"action":"SCMP_ACT_ALLOW"}`), allow: "read write"},
		{name: "the old name", text: one(errno, `{"name":"read","action":"SCMP_ACT_ALLOW","args":[]},{"name":"write","action":"SCMP_ACT_ALLOW","args":null}`), allow: "read write"},
		{name: "what the default does", text: one(errno, `{"names":["read"],"action":"SCMP_ACT_ERRNO"},{"names":["read"],"action":"SCMP_ACT_ALLOW"}`), allow: "read"},
		{name: "the first of two", text: one(errno, `{"names":["read"],"action":"SCMP_ACT_ALLOW"},{"names":["read"],"action":"SCMP_ACT_KILL"}`), allow: "read"},
		{name: "without conditions beats", text: one(errno, `{"names":["kill"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]},{"names":["kill"],"action":"SCMP_ACT_ALLOW"}`), allow: "kill"},
		{name: "actions", text: one(errno, `{"names":["read"],"action":"SCMP_ACT_ERRNO","errnoRet":38},{"names":["write"],"action":"SCMP_ACT_KILL"},
			{"names":["open"],"action":"SCMP_ACT_KILL_THREAD"},{"names":["close"],"action":"SCMP_ACT_KILL_PROCESS"},{"names":["stat"],"action":"SCMP_ACT_TRAP"},{"names":["lstat"],"action":"SCMP_ACT_LOG"}`),
			rules: []string{"read: errno(ENOSYS)", "write: kill-thread", "open: kill-thread", "close: kill", "stat: trap", "lstat: log"}},
		{name: "nobody listens", text: one(errno+`,"listenerPath":"/run/x"`, `{"names":["read"],"action":"SCMP_ACT_NOTIFY"},{"names":["write"],"action":"SCMP_ACT_TRACE","errnoRet":7}`),
			rules: []string{"read: errno(ENOSYS)", "write: errno(ENOSYS)"},
			notes: []string{"dropped tighter listenerPath", "approximated tighter SCMP_ACT_NOTIFY", "approximated tighter SCMP_ACT_TRACE"}},
		{name: "Podman's error names", text: one(`"defaultAction":"SCMP_ACT_ERRNO","defaultErrno":"ENOSYS","defaultErrnoRet":38`, `{"names":["read"],"action":"SCMP_ACT_ERRNO","errno":"EPERM"}`), rules: []string{"read: errno(EPERM)"}},
		{name: "deny list", text: one(allow, `{"names":["mount","umount2"],"action":"SCMP_ACT_ERRNO"},{"names":["clone3"],"action":"SCMP_ACT_ERRNO","errnoRet":38}`), deny: "mount umount2", rules: []string{"clone3: errno(ENOSYS)"}},
		{name: "!=", text: args(`{"index":0,"value":1,"op":"SCMP_CMP_NE"}`), rules: []string{"kill: reg0 != 1"}},
		{name: "<", text: args(`{"index":1,"value":1,"op":"SCMP_CMP_LT"}`), rules: []string{"kill: reg1 < 1"}},
		{name: "<=", text: args(`{"index":2,"value":1,"op":"SCMP_CMP_LE"}`), rules: []string{"kill: reg2 <= 1"}},
		{name: "==", text: args(`{"index":3,"value":18446744073709551615,"op":"SCMP_CMP_EQ"}`), rules: []string{"kill: reg3 == 0xffffffffffffffff"}},
		{name: ">=", text: args(`{"index":4,"value":1,"op":"SCMP_CMP_GE"}`), rules: []string{"kill: reg4 >= 1"}},
		{name: ">", text: args(`{"index":5,"value":1,"op":"SCMP_CMP_GT"}`), rules: []string{"kill: reg5 > 1"}},
		{name: "masked", text: args(`{"index":0,"value":255,"valueTwo":257,"op":"SCMP_CMP_MASKED_EQ"}`), rules: []string{"kill: reg0 & 0xff == 1"}},
		{name: "and", text: args(`{"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":1,"value":9,"op":"SCMP_CMP_EQ"}`), rules: []string{"kill: reg0 == 1 && reg1 == 9"}},
		{name: "an argument twice is or", text: args(`{"index":1,"value":1,"op":"SCMP_CMP_EQ"},{"index":1,"value":9,"op":"SCMP_CMP_EQ"},{"index":0,"value":0,"op":"SCMP_CMP_NE"}`), rules: []string{"kill: in(reg1, 1, 9) || reg0 != 0"}},
		{name: "or", text: one(errno, `{"names":["kill"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":1,"value":9,"op":"SCMP_CMP_EQ"}]},{"names":["kill"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":2,"op":"SCMP_CMP_EQ"}]}`),
			rules: []string{"kill: (reg0 == 1 && reg1 == 9) || reg0 == 2"}},
		{name: "refused under a condition", text: one(allow, `{"names":["kill"],"action":"SCMP_ACT_ERRNO","args":[{"index":1,"value":9,"op":"SCMP_CMP_EQ"}]}`), rules: []string{"kill: reg1 != 9 else errno(EPERM)"}},
		{name: "several actions", text: one(errno, `{"names":["kill"],"action":"SCMP_ACT_ALLOW","args":[{"index":1,"value":1,"op":"SCMP_CMP_EQ"}]},{"names":["kill"],"action":"SCMP_ACT_KILL_PROCESS","args":[{"index":1,"value":9,"op":"SCMP_CMP_EQ"}]}`),
			rules: []string{"kill: reg1 != 9 else kill", "kill: in(reg1, 1, 9)"}},
		{name: "overlapping actions", text: one(errno, `{"names":["kill"],"action":"SCMP_ACT_ALLOW","args":[{"index":1,"value":9,"op":"SCMP_CMP_LE"}]},{"names":["kill"],"action":"SCMP_ACT_KILL_PROCESS","args":[{"index":1,"value":9,"op":"SCMP_CMP_EQ"}]}`),
			rules: []string{"kill: reg1 != 9 else kill", "kill: reg1 <= 9 || reg1 == 9"}, notes: []string{"approximated tighter kill"}},
		{name: "unknown names", text: one(errno, `{"names":["read","raed","s390_pci_mmio_read"],"action":"SCMP_ACT_ALLOW"}`), allow: "read", notes: []string{"approximated tighter raed"}},
		{name: "unknown names refused", text: one(allow, `{"names":["raed"],"action":"SCMP_ACT_KILL"}`), notes: []string{"dropped wider raed"}},
		{name: "flags", text: one(errno+`,"flags":["SECCOMP_FILTER_FLAG_TSYNC","SECCOMP_FILTER_FLAG_LOG","SECCOMP_FILTER_FLAG_SPEC_ALLOW"]`, `{"names":["read"],"action":"SCMP_ACT_ALLOW"}`), allow: "read",
			notes: []string{"approximated  SECCOMP_FILTER_FLAG_LOG", "approximated tighter SECCOMP_FILTER_FLAG_SPEC_ALLOW"}},
		{name: "config.json", text: `{"ociVersion":"1.0.2","process":{"x":1},"linux":{"seccomp":` + one(errno, `{"names":["read"],"action":"SCMP_ACT_ALLOW"}`) + `}}`, allow: "read"},
		{name: "a mask beyond 32 bits on i386", text: one(errno+`,"architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86"]`, `{"names":["kill"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":4294967301,"op":"SCMP_CMP_EQ"}]}`),
			rules: []string{"kill: reg0 == 0x100000005"}, notes: []string{"approximated wider kill"}},
		{name: "names are one call each", text: one(errno+`,"architectures":["SCMP_ARCH_X86"]`, `{"names":["setuid32"],"action":"SCMP_ACT_ALLOW"},{"names":["setuid","setgid"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":0,"op":"SCMP_CMP_EQ"}]}`),
			allow: "setuid32", rules: []string{"setuid: reg0 == 0", "setgid: reg0 == 0", "setgid32: errno(EPERM)", "setuid32: allow"}},
		{name: "a denial is of one call", text: one(allow+`,"architectures":["SCMP_ARCH_X86"]`, `{"names":["setuid","chown","chown32"],"action":"SCMP_ACT_ERRNO"}`),
			deny: "chown chown32", rules: []string{"setuid: errno(EPERM)", "setuid32: allow"}},
		{name: "a way round", text: one(errno+`,"architectures":["SCMP_ARCH_X86"]`, `{"names":["socketcall","socket"],"action":"SCMP_ACT_ALLOW"}`), allow: "socketcall socket", notes: []string{"approximated tighter socketcall on i386"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, res := section(t, c.text, amd64, ImportOptions{Bare: true, Names: true})
			if got := strings.Join(itemsOf(p.Syscalls.Allow), " "); got != c.allow {
				t.Errorf("allow: %q, want %q", got, c.allow)
			}
			if got := strings.Join(itemsOf(p.Syscalls.Deny), " "); got != c.deny {
				t.Errorf("deny: %q, want %q", got, c.deny)
			}
			if got := rulesOf(p); !slices.Equal(got, c.rules) {
				t.Errorf("rules:\n%q, want\n%q", got, c.rules)
			}
			if got := inexact(res); !slices.Equal(got, c.notes) {
				t.Errorf("notes:\n%q, want\n%q", got, c.notes)
			}
		})
	}
}

// TestConditions checks when entries apply: by the capabilities, the architecture and the kernel, as in Docker.
func TestConditions(t *testing.T) {
	for _, c := range []struct {
		when string
		holds,
		fails Target
	}{
		{`"includes":{"caps":["CAP_SYS_ADMIN"]}`, Target{filter.AMD64, Kernel{6, 1}, []string{"SYS_ADMIN"}}, Target{filter.AMD64, Kernel{6, 1}, []string{"BPF"}}},
		{`"includes":{"caps":["CAP_SYS_ADMIN","CAP_BPF"]}`, Target{filter.AMD64, Kernel{6, 1}, []string{"SYS_ADMIN", "BPF"}}, Target{filter.AMD64, Kernel{6, 1}, []string{"BPF"}}},
		{`"excludes":{"caps":["CAP_SYS_ADMIN","CAP_BPF"]}`, Target{filter.AMD64, Kernel{6, 1}, []string{"CHOWN"}}, Target{filter.AMD64, Kernel{6, 1}, []string{"BPF"}}},
		{`"includes":{"arches":["arm","arm64"]}`, Target{Arch: filter.ARM64}, Target{Arch: filter.AMD64}},
		{`"includes":{"arches":["x86"]}`, Target{Arch: filter.I386}, Target{Arch: filter.AMD64}},
		{`"excludes":{"arches":["s390","amd64"]}`, Target{Arch: filter.RISCV64}, Target{Arch: filter.AMD64}},
		{`"includes":{"minKernel":"4.8"}`, Target{filter.AMD64, Kernel{4, 8}, nil}, Target{filter.AMD64, Kernel{4, 7}, nil}},
		{`"includes":{"minKernel":"4.8"}`, Target{filter.AMD64, Kernel{5, 0}, nil}, Target{filter.AMD64, Kernel{3, 19}, nil}},
		{`"excludes":{"minKernel":"5.11"}`, Target{filter.AMD64, Kernel{5, 10}, nil}, Target{filter.AMD64, Kernel{5, 11}, nil}},
		{`"includes":{},"excludes":{"caps":["CAP_BPF"]}`, Target{Arch: filter.AMD64}, Target{Arch: filter.AMD64, Caps: []string{"BPF"}}},
	} {
		text := `{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW",` + c.when + `}]}`
		if p, _ := section(t, text, c.holds, ImportOptions{}); len(p.Syscalls.Allow) != 1 {
			t.Errorf("%s does not hold for %+v", c.when, c.holds)
		}
		if p, _ := section(t, text, c.fails, ImportOptions{}); len(p.Syscalls.Allow) != 0 {
			t.Errorf("%s holds for %+v", c.when, c.fails)
		}
	}
}

func TestArchitectures(t *testing.T) {
	for _, c := range []struct {
		text string
		arch filter.Arch
		want string
	}{
		{`"archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86","SCMP_ARCH_X32"]},{"architecture":"SCMP_ARCH_AARCH64","subArchitectures":["SCMP_ARCH_ARM"]},{"architecture":"SCMP_ARCH_RISCV64","subArchitectures":null}]`, filter.AMD64, "amd64 i386 x32"},
		{`"archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]},{"architecture":"SCMP_ARCH_AARCH64","subArchitectures":["SCMP_ARCH_ARM"]}]`, filter.ARM64, "arm64 arm"},
		{`"archMap":[{"architecture":"SCMP_ARCH_S390X","subArchitectures":["SCMP_ARCH_S390"]}]`, filter.RISCV64, "riscv64"},
		{`"architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86","SCMP_ARCH_AARCH64","SCMP_ARCH_ARM","SCMP_ARCH_MIPS"]`, filter.AMD64, "amd64 i386"},
		{`"architectures":[]`, filter.AMD64, "amd64"},
	} {
		p, _ := section(t, `{"defaultAction":"SCMP_ACT_ALLOW",`+c.text+`}`, Target{Arch: c.arch}, ImportOptions{})
		if got := strings.Join(p.Syscalls.Arches, " "); got != c.want {
			t.Errorf("%s for %s: %s, want %s", c.text, c.arch, got, c.want)
		}
		spec, err := p.Filter()
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range []filter.Arch{filter.AMD64, filter.ARM64, filter.RISCV64} {
			if _, err := filter.Compile(spec, other); (err == nil) != (other == c.arch) {
				t.Errorf("imported for %s, on %s: %v", c.arch, other, err)
			}
		}
	}
}

// TestFrame checks that everything in the result except the syscalls comes from the shipped profile container. Only the
// positions and the requested capabilities may differ.
func TestFrame(t *testing.T) {
	p, _ := section(t, `{"defaultAction":"SCMP_ACT_ALLOW"}`, amd64, ImportOptions{})
	c, err := profiles.Search{}.Load([]string{"container"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	plain := func(p *policy.Profile) string {
		q := *p
		q.Name, q.About, q.Syscalls, q.Sources = "", "", policy.Syscalls{}, nil
		lines := strings.Split(string(policy.Show(&q)), "\n")
		for i, l := range lines {
			lines[i], _, _ = strings.Cut(l, " # ")
		}
		return strings.Join(lines, "\n")
	}
	if a, b := plain(p), plain(c); a != b {
		t.Errorf("imported:\n%s\ncontainer:\n%s", a, b)
	}
	if p.Name != "some-profile" {
		t.Errorf("name %q", p.Name)
	}
	bare, _ := section(t, `{"defaultAction":"SCMP_ACT_ALLOW"}`, amd64, ImportOptions{Bare: true, Name: "x"})
	if q := (policy.Profile{Version: 1, Name: "x", About: bare.About, Syscalls: bare.Syscalls, Sources: bare.Sources}); !reflect.DeepEqual(&q, bare) {
		t.Errorf("a bare profile has more than syscalls: %+v", bare)
	}
}

// TestFileNames checks that a file's name cannot change the result, whatever it contains.
func TestFileNames(t *testing.T) {
	for file, want := range map[string]string{
		"": "imported", "stdin": "stdin", "/a/b.json": "b", "a: b # c\".json": "a--b---c", "x\ny.json": "x-y", "..json": "imported", "é.json": "imported",
		strings.Repeat("x", 300): strings.Repeat("x", 64), "true": "true", "{[&*!|>%@`": "imported",
	} {
		res, err := Import(file, []byte(`{"defaultAction":"SCMP_ACT_ALLOW"}`), amd64, ImportOptions{})
		if err != nil {
			t.Fatalf("%q: %v", file, err)
		}
		if p, err := policy.Parse("f", res.Text); err != nil || p.Name != want {
			t.Errorf("%q: %v, %v", file, p, err)
		}
	}
}

// TestDocker checks that the import of Docker's default is short, and has the same meaning with and without groups. A
// test in tests/reference checks that it decides as libseccomp's filter does.
func TestDocker(t *testing.T) {
	data := string(dockerDefault(t))
	for _, arch := range []filter.Arch{filter.AMD64, filter.ARM64, filter.RISCV64} {
		target := Target{Arch: arch, Kernel: Kernel{6, 18}, Caps: DockerCaps()}
		p, res := section(t, data, target, ImportOptions{})
		if n := len(p.Syscalls.Allow); n > 20 || itemsOf(p.Syscalls.Allow)[0] != "@container" {
			t.Errorf("%s: %d items: %v", arch, n, itemsOf(p.Syscalls.Allow))
		}
		q, _ := section(t, data, target, ImportOptions{Names: true})
		if n := len(q.Syscalls.Allow); n < 300 {
			t.Errorf("%s: %d names", arch, n)
		}
		sameDecisions(t, p, q, arch)
		if res.Lossy() > 0 {
			t.Errorf("%s: %v", arch, inexact(res))
		}
	}
}

// sameDecisions checks that two profiles decide alike for every call and argument, and for numbers without a name.
func sameDecisions(t *testing.T, p, q *policy.Profile, arch filter.Arch) {
	t.Helper()
	a, b := decisions(t, p, arch), decisions(t, q, arch)
	for i := range a {
		if !reflect.DeepEqual(a[i], b[i]) {
			t.Fatalf("%s: %+v\nand %+v", arch, a[i], b[i])
		}
	}
}

func decisions(t *testing.T, p *policy.Profile, arch filter.Arch) []filter.Decision {
	t.Helper()
	spec, err := p.Filter()
	if err != nil {
		t.Fatal(err)
	}
	all, err := filter.Decisions(spec, arch)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestHostile checks that every error names the position, and the path in the JSON if there is one.
func TestHostile(t *testing.T) {
	entry := func(s string) string { return `{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[` + s + `]}` }
	argument := func(s string) string { return entry(`{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[` + s + `]}`) }
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "1:1: the file ends"},
		{"no object", "[]", "1:1: a seccomp profile is an object, not a list"},
		{"garbage behind", `{"defaultAction":"SCMP_ACT_ERRNO"} x`, "1:36: something follows"},
		{"two values", "{}\n{}", "2:1: something follows"},
		{"cut off", `{"defaultAction":`, "1:18: defaultAction: the file ends"},
		{"cut off in a string", `{"defaultAction":"SC`, "1:21: defaultAction: the file ends"},
		{"comment", "{// x\n}", "1:2: not JSON: want a key in double quotes, not \"/\"; JSON has no comments"},
		{"trailing comma", `{"syscalls":[1,]}`, `1:16: syscalls[1]: not JSON: want a value, not "]"; no comma before`},
		{"single quotes", `{'a':1}`, "JSON has double quotes only"},
		{"invalid UTF-8", "{\"defaultAction\":\"\xff\"}", "1:19: defaultAction: invalid UTF-8"},
		{"invalid UTF-8 outside", "{\xff", "1:2: invalid UTF-8"},
		{"surrogate", `{"\ud800":1}`, "half a surrogate pair"},
		{"escape", `{"\x":1}`, "malformed escape"},
		{"control character", "{\"a\nb\":1}", "control character"},
		{"duplicate key", "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\n \"defaultAction\":\"SCMP_ACT_ALLOW\"}", `2:2: duplicate key "defaultAction"; it is also in line 1`},
		{"duplicate key, escaped", `{"a":1,"\u0061":2}`, `1:8: duplicate key "a"`},
		{"key in another case", `{"DefaultAction":"SCMP_ACT_ALLOW"}`, `1:2: unknown key "DefaultAction"; did you mean "defaultAction"?`},
		{"unknown key", entry(`{"name":"read","action":"SCMP_ACT_ALLOW","arg":[]}`), `syscalls[0]: unknown key "arg"; did you mean "args"?`},
		{"deep", strings.Repeat(`{"a":`, 100), "nested more than 64 deep"},
		{"deep lists", strings.Repeat(`[`, 100_000), "nested more than 64 deep"},
		{"no default", `{"syscalls":[]}`, "1:1: no defaultAction"},
		{"empty config", `{"ociVersion":"1.0"}`, "this configuration has no linux.seccomp"},
		{"action", `{"defaultAction":"SCMP_ACT_ERNO"}`, `1:18: defaultAction: "SCMP_ACT_ERNO" is not an action; did you mean "SCMP_ACT_ERRNO"?`},
		{"action's type", `{"defaultAction":1}`, "1:18: defaultAction: want a string, not a number"},
		{"errno of allow", `{"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":1}`, "SCMP_ACT_ALLOW has no error number"},
		{"errno too large", `{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":4096}`, "want a whole number from 0 to 4095, not 4096"},
		{"errno's name", `{"defaultAction":"SCMP_ACT_ERRNO","defaultErrno":"EPREM"}`, `"EPREM" is not the name of an error`},
		{"errno twice", `{"defaultAction":"SCMP_ACT_ERRNO","defaultErrno":"EPERM","defaultErrnoRet":2}`, "EPERM is not the number given beside it"},
		{"no action", entry(`{"names":["read"]}`), "1:47: syscalls[0]: no action"},
		{"no name", entry(`{"names":[],"action":"SCMP_ACT_ALLOW"}`), "syscalls[0]: an entry names a call"},
		{"both names", entry(`{"names":["read"],"name":"write","action":"SCMP_ACT_ALLOW"}`), "name and names exclude each other"},
		{"name's type", entry(`{"names":[1],"action":"SCMP_ACT_ALLOW"}`), "syscalls[0].names[0]: want a string, not a number"},
		{"op", argument(`{"index":0,"value":1,"op":"SCMP_CMP_EG"}`), `syscalls[0].args[0].op: "SCMP_CMP_EG" is not an operator; did you mean "SCMP_CMP_EQ"?`},
		{"no op", argument(`{"index":0,"value":1}`), "syscalls[0].args[0]: no op"},
		{"no index", argument(`{"value":1,"op":"SCMP_CMP_EQ"}`), "syscalls[0].args[0]: no index"},
		{"index", argument(`{"index":6,"value":1,"op":"SCMP_CMP_EQ"}`), "syscalls[0].args[0].index: want a whole number from 0 to 5, not 6"},
		{"negative", argument(`{"index":0,"value":-1,"op":"SCMP_CMP_EQ"}`), "syscalls[0].args[0].value: want a whole number from 0 to 18446744073709551615, not -1"},
		{"float", argument(`{"index":0,"value":1.5,"op":"SCMP_CMP_EQ"}`), "not 1.5"},
		{"exponent", argument(`{"index":0,"value":1e3,"op":"SCMP_CMP_EQ"}`), "not 1e3"},
		{"huge", argument(`{"index":0,"value":18446744073709551616,"op":"SCMP_CMP_EQ"}`), "not 18446744073709551616"},
		{"huger", argument(`{"index":0,"value":1` + strings.Repeat("0", 5000) + `,"op":"SCMP_CMP_EQ"}`), "0…"},
		{"leading zero", argument(`{"index":0,"value":01,"op":"SCMP_CMP_EQ"}`), "malformed number"},
		{"capability", entry(`{"names":["read"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMN"]}}`), `syscalls[0].includes.caps[0]: "CAP_SYS_ADMN" is not a capability; did you mean "SYS_ADMIN"?`},
		{"arch", entry(`{"names":["read"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["amd46"]}}`), `"amd46" is not an architecture; did you mean "amd64"?`},
		{"kernel", entry(`{"names":["read"],"action":"SCMP_ACT_ALLOW","excludes":{"minKernel":"5"}}`), `"5" is not a kernel release`},
		{"scmp arch", `{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_AMD64"]}`, `architectures[0]: "SCMP_ARCH_AMD64" is not an architecture`},
		{"both architectures", `{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86"],"archMap":[{"architecture":"SCMP_ARCH_X86"}]}`, "exclude each other"},
		{"flag", `{"defaultAction":"SCMP_ACT_ERRNO","flags":["SECCOMP_FILTER_FLAG_SYNC"]}`, `flags[0]: "SECCOMP_FILTER_FLAG_SYNC" is not a flag`},
		{"large", `{"a":"` + strings.Repeat("x", MaxFile) + `"}`, "the file is longer than 4194304 bytes"},
		{"byte order mark", "\ufeff{\"a\":1}", `1:2: unknown key "a"`},
		{"many values", "[" + strings.Repeat("1,", maxValues) + "1]", "more than 200000 values"},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin := time.Now()
			_, err := Import("f.json", []byte(c.text), amd64, ImportOptions{})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "f.json:") {
				t.Errorf("%.300v\nwant %s", err, c.want)
			}
			if d := time.Since(begin); d > 2*time.Second {
				t.Errorf("it takes %v", d)
			}
		})
	}
}

// TestManyErrors checks that Import returns all errors of a file at once, up to a limit.
func TestManyErrors(t *testing.T) {
	text := `{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[` + strings.TrimSuffix(strings.Repeat(`{"names":["read"],"action":"x"},`, 100), ",") + `]}`
	_, err := Import("f", []byte(text), amd64, ImportOptions{})
	var all policy.Errors
	if !errors.As(err, &all) || len(all) != maxErrors {
		t.Errorf("%d errors", len(all))
	}
}

// TestManyEntries checks files with thousands of entries, names and conditions. Import must convert them, or return an
// error that names the limit, in short time.
func TestManyEntries(t *testing.T) {
	file := func(n int, entry func(i int) string) string {
		var b strings.Builder
		b.WriteString(`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[`)
		for i := range n {
			b.WriteString(entry(i) + ",")
		}
		b.WriteString(`{"names":["read"],"action":"SCMP_ACT_ALLOW"}]}`)
		return b.String()
	}
	equal := func(action string) func(int) string {
		return func(i int) string {
			return fmt.Sprintf(`{"name":"kill","action":"%s","args":[{"index":0,"value":%d,"op":"SCMP_CMP_EQ"}]}`, strings.ReplaceAll(action, "?", []string{"ALLOW", "TRAP"}[i%2]), 3*i)
		}
	}
	for name, c := range map[string]struct{ text, want string }{
		"names": {file(1, func(int) string {
			return `{"names":["x"` + strings.Repeat(`,"read"`, 180_000) + `],"action":"SCMP_ACT_ALLOW"}`
		}), ""},
		"unknown":      {file(25_000, func(i int) string { return fmt.Sprintf(`{"name":"reboott%d","action":"SCMP_ACT_ALLOW"}`, i) }), ""},
		"entries":      {file(25_000, func(i int) string { return `{"name":"kill","action":"SCMP_ACT_ALLOW"}` }), ""},
		"conditions":   {file(20_000, equal("SCMP_ACT_ALLOW")), "kill has more than 4096 conditions"},
		"long filters": {file(4000, equal("SCMP_ACT_ALLOW")), "instructions, the kernel takes 4096"},
		"actions":      {file(4000, equal("SCMP_ACT_?")), "instructions, the kernel takes 4096"},
	} {
		begin := time.Now()
		_, err := Import("f", []byte(c.text), amd64, ImportOptions{})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %.300v", name, err)
		}
		if d := time.Since(begin); d > 4*time.Second {
			t.Errorf("%s takes %v", name, d)
		}
		t.Log(name, time.Since(begin))
	}
}

func BenchmarkImported(b *testing.B) {
	data := dockerDefault(b)
	b.Run("import", func(b *testing.B) {
		for b.Loop() {
			if _, err := Import("default.json", data, amd64, ImportOptions{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, names := range []bool{false, true} {
		res, err := Import("default.json", data, amd64, ImportOptions{Names: names})
		if err != nil {
			b.Fatal(err)
		}
		p, err := policy.Parse("f", res.Text)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("parse/names=%v", names), func(b *testing.B) {
			for b.Loop() {
				_, _ = policy.Parse("f", res.Text)
			}
		})
		b.Run(fmt.Sprintf("compile/names=%v", names), func(b *testing.B) {
			for b.Loop() {
				spec, _ := p.Filter()
				_, _ = filter.Compile(spec, filter.AMD64)
			}
		})
	}
	open := frame(amd64.Caps) + "syscalls: {default: allow}\n"
	b.Run("parse/no filter", func(b *testing.B) {
		for b.Loop() {
			if _, err := policy.Parse("f", []byte(open)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
