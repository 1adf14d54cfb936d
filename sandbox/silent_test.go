package sandbox

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
)

// What takes the place of scopes that the kernel lacks is said by the namespaces that there are.
func TestWhatHoldsWithoutScopes(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(p *policy.Profile)
		abi     int
		why     string // the end of it
		instead string
	}{
		{"own namespaces", func(*policy.Profile) {}, 5, "(6 has)", "the pid namespace and the network namespace"},
		{"the host's network", func(p *policy.Profile) { p.Network.Mode = policy.NetworkHost }, 5, "; nothing holds back abstract sockets outside", "the pid namespace"},
		{"the host's processes", func(p *policy.Profile) { p.Namespaces.PID.Mode = policy.NSHost }, 5, "; nothing holds back signals to processes outside",
			"the network namespace"},
		{"both", func(p *policy.Profile) { p.Network.Mode, p.Namespaces.PID.Mode = policy.NetworkHost, policy.NSHost }, 5,
			"; nothing holds back signals to processes outside; nothing holds back abstract sockets outside", ""},
		{"no Landlock at all", func(p *policy.Profile) { p.Network.Mode = policy.NetworkHost }, 0, "; nothing holds back abstract sockets outside",
			"the mounts, which are read-only where they were asked to be, the pid namespace"},
	} {
		p := hostRoot()
		p.Missing = []policy.MissingLayer{{Layer: policy.LayerLandlock}}
		c.change(p)
		comp, err := compile(p, onHost(func(h *host.Host) { h.LandlockABI = c.abi }), &Request{Args: []string{"/usr/bin/true"}}, nil)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if len(comp.missing) == 0 || !strings.HasSuffix(comp.missing[0].Why, c.why) || comp.missing[0].Instead != c.instead {
			t.Errorf("%s: %+v", c.name, comp.missing)
		}
	}
}

// What a profile names and this machine cannot do is in the report.
func TestNothingInSilence(t *testing.T) {
	p := hostRoot()
	p.Landlock.Write = policy.Opt[[]policy.PathItem]{Set: true, V: []policy.PathItem{{Path: "/nothing"}}}
	p.Mounts = []policy.Mount{{Kind: policy.MountBind, Source: "/nothing", Optional: true}, {Kind: policy.MountTmpfs, Target: "/nothing/x", Optional: true}}
	p.Limits.Rlimits = []policy.Rlimit{{Name: "nofile", Value: policy.Unlimited - 1}}
	comp, err := compile(p, fakeUser(), &Request{Args: []string{"/usr/bin/true"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	comp.missing = append(comp.missing, clipped(unix.Getpid(), p.Limits.Rlimits)...)
	if len(comp.left) != 2 || comp.left[0].Path != "/nothing" || comp.left[1].Why != "its target does not exist, and cannot be made" {
		t.Errorf("left out: %+v", comp.left)
	}
	if len(comp.missing) != 2 || comp.missing[0].Layer != policy.LayerLandlock || comp.missing[1].Layer != policy.LayerRlimits || comp.missing[1].Instead == "" {
		t.Errorf("missing: %+v", comp.missing)
	}
}
