package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ask runs the command and checks its exit code.
func ask(t *testing.T, code int, args ...string) (stdout, stderr string) {
	t.Helper()
	u, out, text := newTestUI()
	if got := u.main(args); got != code {
		t.Fatalf("%q: exit code %d, want %d; %s%s", args, got, code, out, text)
	}
	return out.String(), text.String()
}

func TestWhy(t *testing.T) {
	dir := home(t)
	mine := filepath.Join(dir, "mine.yaml")
	text := "version: 1\nextends: [default]\nsyscalls:\n  deny: [keyctl, vfork]\n  rules:\n    - prctl: op != PR_SET_NAME\n      else: kill\n    - kill: sig != SIGKILL && pid > 0\n"
	if err := os.WriteFile(mine, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		code int
		args string // split at ;
		want []string
	}{
		{0, "socket(AF_INET, SOCK_STREAM, 0)", []string{"socket(AF_INET, SOCK_STREAM, 0): allow\n", "the rules hold (embedded:base.yaml:65, embedded:base.yaml:67, embedded:base.yaml:69, ", "ret #0x7fff0000"}},
		{1, "socket(AF_VSOCK, SOCK_STREAM, 0)", []string{": deny, errno(EAFNOSUPPORT)\n", "--rule 'socket: ", "family == AF_VSOCK"}},
		{1, "socket", []string{"socket: it depends on what is left out\n", "errno(EAFNOSUPPORT): the rule does not hold", "errno(EPROTONOSUPPORT): the rule does not hold", "for example socket(family=AF_UNIX"}},
		{1, "keyctl", []string{"denied by @keyring (embedded:base.yaml:21)", "no flag allows it", "does not extend base."}},
		{1, "keyctl;-p;" + mine, []string{"denied by @keyring, keyctl (embedded:base.yaml:21, " + mine + ":4)", "no flag allows it"}},
		{1, "vfork;-p;" + mine, []string{"denied by vfork (" + mine + ":4)", "It can be taken out at " + mine + ":4."}},
		{1, "vfork;--deny-syscall;vfork", []string{"Leave out --deny-syscall vfork."}},
		{1, "prctl(PR_SET_NAME);-p;" + mine, []string{": deny, kill\n", "to allow it: --remove 'syscalls=prctl: op != PR_SET_NAME'\n", "which gives prctl with op PR_SET_NAME, whatever the rest\n"}},
		{1, "kill(-1, SIGTERM);-p;" + mine, []string{"to allow it: --remove 'syscalls=kill: sig != SIGKILL && pid > 0' --rule 'kill: (sig != SIGKILL && pid > 0) || pid == -1 && sig == SIGTERM'"}},
		{1, "mount;-p;strict", []string{"denied by mount"}},
		{1, "chroot;-p;strict", []string{"chroot: deny, kill\n", "not allowed (embedded:strict.yaml:", "to allow it: --allow-syscall chroot\n      syscalls:\n        allow:\n          - chroot\n"}},
		{0, "chroot;-p;strict;--allow-syscall;chroot", []string{"allowed by chroot (--allow-syscall chroot)"}},
		{1, "435", []string{"clone3 is number 435 on amd64, since Linux 5.3", "to allow it: --remove 'syscalls=clone3: errno(ENOSYS)'\n"}},
		{1, "1000", []string{"number 1000 is in no table (embedded:base.yaml:15)", "--syscall-unknown decides all of them"}},
		{1, "--arch;i386;getpid", []string{"getpid is number 20 on i386", "to allow it: --arch i386\n"}},
		{1, "--arch;x32;read", []string{"read is number 0 on x32", "a call of the x32 ABI"}},
		{0, "--arch;riscv64;riscv_hwprobe", []string{"riscv_hwprobe is number 258 on riscv64, since Linux 6.4"}},
		{0, `openat(AT_FDCWD, "/x", flags=O_RDONLY)`, []string{"pathname is not inspected: it is a pointer"}},
		{0, "-q;read", nil},
		{1, "-q;keyctl", nil},
	} {
		args := append([]string{"why", "--arch", "amd64"}, strings.Split(c.args, ";")...)
		out, _ := ask(t, c.code, args...)
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("%q: %q is not in\n%s", args, want, out)
			}
		}
		if c.want == nil && out != "" {
			t.Errorf("%q: %q", args, out)
		}
	}
}

func TestWhyErrors(t *testing.T) {
	home(t)
	for _, c := range []struct{ args, want string }{
		{"", "cordon: error: cordon why: the question is missing\n"},
		{"a;b", "one argument too many"},
		{"open:", "why: open: no path"},
		{"cap:SYS_AMIN", "no such capability"},
		{"connect:example.org", "not an address"},
		{"connect:example.org:70000", "not an address"},
		{"signal:x", "is not a process number"},
		{"limit:memory=lots", "memory"},
		{"limit:hostname=x", "is not a limit"},
		{"sokcet(1)", "cordon: error: why: unknown system call \"sokcet\"\n    sokcet(1)\n    ^\ncordon: hint: did you mean socket?\n"},
		{"socket(AF_INTE)", "    socket(AF_INTE)\n           ^\ncordon: hint: did you mean AF_INET?\n"},
		{"read;--arch;mips", "cordon: error: no system call table for \"mips\"\n"},
		{"open;--arch;arm64", "arm64 has no system call open\n"},
		{"read;-p;nonesuch", "unknown profile"},
	} {
		args := []string{"why"}
		if c.args != "" {
			args = append(args, strings.Split(c.args, ";")...)
		}
		if out, stderr := ask(t, 125, args...); out != "" || !strings.Contains(stderr, c.want) {
			t.Errorf("%q: %q %q, want %q", args, out, stderr, c.want)
		}
	}
}

func TestWhyJSON(t *testing.T) {
	home(t)
	out, _ := ask(t, 1, "why", "--json", "--arch", "amd64", "clone(CLONE_NEWUSER)")
	var a answer
	if err := json.Unmarshal([]byte(out), &a); err != nil {
		t.Fatal(err)
	}
	if a.Version != 1 || a.Layer != "seccomp" || a.Verdict != "deny" || a.Profile != "default" || a.Call.Nr != 56 || len(a.Path) < 3 || a.Outcomes[0].Fix == nil || a.Outcomes[0].From[0] != "embedded:base.yaml:83" {
		t.Errorf("%s", out)
	}
	// The flags that it names do what it says.
	args := append([]string{"why", "--arch", "amd64", "-q", "clone(CLONE_NEWUSER)"}, a.Outcomes[0].Fix.Flags...)
	ask(t, 0, args...)
	// And so does the file.
	file := filepath.Join(t.TempDir(), "fix.yaml")
	if err := os.WriteFile(file, []byte("version: 1\nextends: [default]\n"+a.Outcomes[0].Fix.YAML), 0o600); err != nil {
		t.Fatal(err)
	}
	ask(t, 0, "why", "--arch", "amd64", "-q", "-p", file, "clone(CLONE_NEWUSER)")
	ask(t, 1, "why", "--arch", "amd64", "-q", "-p", file, "clone(CLONE_NEWPID)")
}

func TestFilterDump(t *testing.T) {
	home(t)
	for _, c := range []struct {
		format string
		want   []string
	}{
		{"asm", []string{"\tld [4]\t; arch\n", "; family, low half; socket (embedded:base.yaml:65, embedded:base.yaml:67, embedded:base.yaml:69, ", "ret #0x7fff0000\t; allow\n"}},
		{"pfc", []string{"# pseudo filter code start", "  if ($syscall == 41)\n    if (!("}},
		{"c", []string{"static struct sock_filter cordon_filter[] = {\n", "cordon_filter_prog"}},
		{"json", []string{`"audit_arch": 3221225534`}},
	} {
		for _, profile := range []string{"default", "container", "strict"} {
			out, _ := ask(t, 0, "filter", "dump", "--arch", "amd64", "-p", profile, "--format", c.format)
			for _, want := range c.want {
				if profile == "default" && !strings.Contains(out, want) {
					t.Errorf("%s: %q is not in\n%s", c.format, want, out)
				}
			}
		}
	}
	raw, _ := ask(t, 0, "filter", "dump", "--format", "bpf", "--arch", "arm64", "-p", "container")
	if len(raw) == 0 || len(raw)%8 != 0 || raw[:8] != "\x20\x00\x00\x00\x04\x00\x00\x00" {
		t.Errorf("%d bytes: %q", len(raw), raw)
	}
	file := filepath.Join(t.TempDir(), "f")
	ask(t, 0, "filter", "dump", "--format", "bpf", "--arch", "arm64", "-p", "container", "-o", file)
	if data, _ := os.ReadFile(file); string(data) != raw {
		t.Error("-o wrote something else")
	}
	for _, c := range []struct{ args, want string }{
		{"--format;elf", "unknown format elf"},
		{"--arch;x32", "no kernel is x32 alone"},
		{"-o;/nonesuch/f", "\"/nonesuch/f\": no such file or directory"},
		{"-p;nonesuch", "unknown profile"},
	} {
		if _, stderr := ask(t, 125, append([]string{"filter", "dump"}, strings.Split(c.args, ";")...)...); !strings.Contains(stderr, c.want) {
			t.Errorf("%s: %s", c.args, stderr)
		}
	}
}

func TestFilterGroups(t *testing.T) {
	out, _ := ask(t, 0, "filter", "groups")
	if !strings.Contains(out, "@keyring ") || !strings.Contains(out, "@unsorted ") {
		t.Error(out)
	}
	out, _ = ask(t, 0, "filter", "groups", "@sandbox")
	if !strings.Contains(out, "landlock_add_rule(ruleset_fd, rule_type, rule_attr, flags)") || !strings.Contains(out, "  5.13  amd64 arm64 riscv64 i386 arm x32\n") {
		t.Error(out)
	}
	out, _ = ask(t, 0, "filter", "groups", "keyring", "--json")
	var calls []callLine
	if err := json.Unmarshal([]byte(out), &calls); err != nil || len(calls) != 3 || calls[0].Name != "add_key" {
		t.Errorf("%v %s", err, out)
	}
	if _, stderr := ask(t, 125, "filter", "groups", "@keyrng"); !strings.Contains(stderr, "did you mean @keyring?") {
		t.Error(stderr)
	}
}
