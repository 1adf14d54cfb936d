package launch

import (
	"testing"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/sandboxtest"
)

// If a profile names something that this machine cannot do, the report says so.
func TestNothingInSilence(t *testing.T) {
	p := sandboxtest.HostRoot()
	p.Landlock.Write = policy.Opt[[]policy.PathItem]{Set: true, V: []policy.PathItem{{Path: "/nothing"}}}
	p.Mounts = []policy.Mount{{Kind: policy.MountBind, Source: "/nothing", Optional: true}, {Kind: policy.MountTmpfs, Target: "/nothing/x", Optional: true}}
	p.Limits.Rlimits = []policy.Rlimit{{Name: "nofile", Value: policy.Unlimited - 1}}
	comp, err := compile.Compile(p, sandboxtest.FakeUser(), &compile.Request{Args: []string{"/usr/bin/true"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	comp.Missing = append(comp.Missing, clipped(unix.Getpid(), p.Limits.Rlimits)...)
	if len(comp.Left) != 2 || comp.Left[0].Path != "/nothing" || comp.Left[1].Why != "its target does not exist, and cannot be made" {
		t.Errorf("left out: %+v", comp.Left)
	}
	if len(comp.Missing) != 2 || comp.Missing[0].Layer != policy.LayerLandlock || comp.Missing[1].Layer != policy.LayerRlimits || comp.Missing[1].Instead == "" {
		t.Errorf("missing: %+v", comp.Missing)
	}
}
