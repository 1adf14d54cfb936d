package policy

import (
	"testing"

	"cordon/policy/filter"
)

// TestNestFilter checks that nest allows the calls of a launcher inside the sandbox, whatever denies them otherwise,
// and no other calls.
func TestNestFilter(t *testing.T) {
	const text = `version: 1
syscalls:
  allow: ["@system-service"]
  deny: ["@mount", unshare, bpf, "@keyring"]
  rules:
    - clone: flags & CLONE_NEW_ANY == 0
    - clone3: errno(ENOSYS)
`
	p, err := Parse("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	decide := func(nest bool, call string, args ...uint64) filter.Kind {
		t.Helper()
		p.Nest = nest
		spec, err := p.Filter()
		if err != nil {
			t.Fatal(err)
		}
		prog, err := filter.Compile(spec, filter.AMD64)
		if err != nil {
			t.Fatal(err)
		}
		nr, ok := filter.Number(filter.AMD64, call)
		if !ok {
			t.Fatalf("no %s", call)
		}
		d := filter.Data{Nr: int32(nr), Arch: filter.AMD64.Audit()}
		copy(d.Args[:], args)
		return prog.Action(&d).Kind
	}
	const newUser = 0x10000000
	for _, call := range NestCalls {
		if _, ok := filter.Number(filter.AMD64, call); !ok {
			continue // a call that only another architecture has
		}
		if got := decide(true, call, newUser); got != filter.Allow {
			t.Errorf("with nest %s: %v", call, got)
		}
		if got := decide(false, call, newUser); got == filter.Allow {
			t.Errorf("without nest %s is allowed", call)
		}
	}
	for _, call := range []string{"bpf", "keyctl", "init_module", "open_by_handle_at", "quotactl"} {
		if got := decide(true, call); got == filter.Allow {
			t.Errorf("with nest %s is allowed too", call)
		}
	}
}
