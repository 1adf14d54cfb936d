package compile

import (
	"strings"
	"testing"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/sandboxtest"
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
			"the mounts, which are read-only as the profile says, the pid namespace"},
	} {
		p := sandboxtest.HostRoot()
		p.Missing = []policy.MissingLayer{{Layer: policy.LayerLandlock}}
		c.change(p)
		comp, err := Compile(p, sandboxtest.OnHost(func(h *host.Host) { h.LandlockABI = c.abi }), &Request{Args: []string{"/usr/bin/true"}}, nil)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if len(comp.Missing) == 0 || !strings.HasSuffix(comp.Missing[0].Why, c.why) || comp.Missing[0].Instead != c.instead {
			t.Errorf("%s: %+v", c.name, comp.Missing)
		}
	}
}
