package convert

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"cordon/policy"
	"cordon/policy/filter"
)

// learned is a profile as `cordon learn` writes it. It allows what one program called, and nothing that a runtime
// needs.
const learned = `version: 1
name: learned
syscalls:
  default: errno(EPERM)
  allow: [execve, brk, mmap, read, write, close, openat, exit_group, futex]
  rules:
    - {openat: flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC) == 0}
`

func exported(t *testing.T, runtime bool) (ociProfile, *Result) {
	t.Helper()
	p, err := policy.Parse("learned.yaml", []byte(learned))
	if err != nil {
		t.Fatal(err)
	}
	res, err := Export(p, ExportOptions{Format: OCI, Arch: filter.AMD64, Runtime: runtime})
	if err != nil {
		t.Fatal(err)
	}
	var out ociProfile
	if err := json.Unmarshal(res.Text, &out); err != nil {
		t.Fatal(err)
	}
	return out, res
}

func TestExportForARuntime(t *testing.T) {
	_, res := exported(t, false)
	if !slices.ContainsFunc(res.Notes, func(n Note) bool {
		return n.Effect == Tighter && strings.Contains(n.How, "does not start under runc") && strings.Contains(n.How, "--runtime")
	}) {
		t.Errorf("nothing says that runc does not start: %v", res.Notes)
	}
	out, res := exported(t, true)
	if n := res.Lossy(); n != 0 {
		t.Errorf("%d notes ask for consent, although the calls were asked for", n)
	}
	allowed := func(call string) (list []ociEntry) {
		for _, e := range out.Syscalls {
			if slices.Contains(e.Names, call) && e.Action == "SCMP_ACT_ALLOW" {
				list = append(list, e)
			}
		}
		return list
	}
	for _, call := range []string{"epoll_pwait", "capset", "tgkill", "clone", "fcntl"} {
		if allowed(call) == nil {
			t.Errorf("%s does not pass", call)
		}
	}
	// The runtime opens the fifo for writing with exactly these flags. The profile still refuses every other way of
	// writing.
	fifo := slices.ContainsFunc(allowed("openat"), func(e ociEntry) bool {
		return slices.Equal(e.Args, []ociArg{{Index: 2, Value: 0o2000001, Op: "SCMP_CMP_EQ"}})
	})
	if !fifo || slices.ContainsFunc(allowed("openat"), func(e ociEntry) bool { return len(e.Args) == 0 }) {
		t.Errorf("openat: %v", allowed("openat"))
	}
	if allowed("ptrace") != nil || allowed("mount") != nil {
		t.Error("a call that no runtime makes passes")
	}
}

// TestExportAllowedAndLogged checks that a call that passes with all arguments also passes under systemd, if some
// arguments are logged.
func TestExportAllowedAndLogged(t *testing.T) {
	p, err := policy.Parse("x.yaml", []byte("version: 1\nname: x\nsyscalls:\n  default: errno(EPERM)\n  allow: [execve]\n  rules:\n    - {kill: sig == 0, else: log}\n"))
	if err != nil {
		t.Fatal(err)
	}
	res, err := Export(p, ExportOptions{Format: Systemd, Arch: filter.AMD64})
	if err != nil {
		t.Fatal(err)
	}
	said := slices.ContainsFunc(res.Notes, func(n Note) bool {
		return n.Effect == Same && n.How == "kill passes with all arguments, and is not logged"
	})
	if !strings.Contains(string(res.Text), "SystemCallFilter=execve kill\n") || !said {
		t.Errorf("got %s%v", res.Text, res.Notes)
	}
}
