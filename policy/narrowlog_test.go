package policy

import (
	"testing"

	"cordon/policy/filter"
)

// TestImpliedRulesKeepLog checks the rules that the launcher adds. Each must deny only the call that it is for. All
// other calls keep the profile's action, which is log if the default is log.
func TestImpliedRulesKeepLog(t *testing.T) {
	call := func(name string, args ...uint64) filter.Data {
		nr, ok := filter.Number(filter.AMD64, name)
		if !ok {
			t.Fatal(name)
		}
		d := filter.Data{Arch: filter.AMD64.Audit(), Nr: int32(nr)}
		copy(d.Args[:], args)
		return d
	}
	const seccompMode, noNewPrivs = 22, 38 // prctl(2): PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS
	for _, c := range []struct {
		name     string
		syscalls Syscalls
		call     filter.Data
		want     string
	}{
		{"narrowed", Syscalls{Default: "log"}, call("chmod", 0, 0o4755), "errno(EPERM)"},
		{"not narrowed", Syscalls{Default: "log"}, call("chmod", 0, 0o755), "log"},
		{"open, not narrowed", Syscalls{Default: "log"}, call("openat", 0, 0, 0o100, 0o644), "log"},
		{"an action", Syscalls{Default: "log"}, call("openat2"), "errno(ENOSYS)"},
		{"not ruled", Syscalls{Default: "log"}, call("mount"), "log"},
		{"allowed by name", Syscalls{Default: "log", Allow: []SyscallItem{{Name: "chmod"}}}, call("chmod", 0, 0o755), "allow"},
		{"allowed by a group", Syscalls{Default: "log", Allow: []SyscallItem{{Name: "@file-system"}}}, call("chmod", 0, 0o755), "allow"},
		{"ruled by the author", Syscalls{Default: "log", Rules: []SyscallRule{{Call: "chmod", Expr: "mode != 0"}}}, call("chmod", 0, 0o755), "allow"},
		{"denied by name", Syscalls{Default: "log", Deny: []SyscallItem{{Name: "chmod"}}}, call("chmod", 0, 0o755), "errno(EPERM)"},
		{"prctl beside seccomp", Syscalls{Default: "log", Deny: []SyscallItem{{Name: "seccomp"}}}, call("prctl", noNewPrivs), "log"},
		{"prctl for seccomp", Syscalls{Default: "log", Deny: []SyscallItem{{Name: "seccomp"}}}, call("prctl", seccompMode), "errno(EPERM)"},
		{"default allow", Syscalls{Default: "allow"}, call("chmod", 0, 0o755), "allow"},
	} {
		p := &Profile{Syscalls: c.syscalls}
		spec, err := p.Filter()
		if err != nil {
			t.Fatal(c.name, err)
		}
		v, err := filter.Explain(spec, filter.AMD64, c.call)
		if err != nil || v.Action.String() != c.want {
			t.Errorf("%s: %v, want %s (%v, %s)", c.name, v.Action, c.want, err, v.Why)
		}
		program, err := filter.Compile(spec, filter.AMD64)
		if err != nil {
			t.Fatal(c.name, err)
		}
		if got := program.Action(&c.call); got.String() != c.want {
			t.Errorf("%s: the program says %v, want %s", c.name, got, c.want)
		}
	}
}
