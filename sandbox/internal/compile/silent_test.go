package compile

import (
	"errors"
	"strings"
	"testing"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/sandboxtest"
)

// The report names what replaces the rights and scopes that the kernel lacks. It must name only mounts and namespaces
// that the sandbox has.
func TestWhatHoldsOnOlderKernels(t *testing.T) {
	lists := func(p *policy.Profile) {
		p.Landlock.Write = policy.Opt[[]policy.PathItem]{Set: true, V: []policy.PathItem{{Path: "/srv"}}}
	}
	writable := func(p *policy.Profile) {
		p.Mounts = []policy.Mount{{Kind: policy.MountTmpfs, Target: "/tmp"}, {Kind: policy.MountTmpfs, Target: "/srv"}}
	}
	hostNet := func(p *policy.Profile) { p.Network.Mode = policy.NetworkHost }
	hostPID := func(p *policy.Profile) { p.Namespaces.PID.Mode = policy.NSHost }
	const all, noScopes, pid, net = "truncate, ioctl on devices, signals and abstract sockets", "signals and abstract sockets", "the pid namespace", "the network namespace"
	const noSignals, noSockets = "; nothing restricts signals to processes outside", "; nothing restricts connections to abstract sockets outside"
	for _, c := range []struct {
		name    string
		change  []func(p *policy.Profile)
		abi     int
		why     string
		instead string
	}{
		{"own namespaces", nil, 5, "ABI 5 cannot restrict " + noScopes, pid + " and " + net},
		{"Linux 6.1", nil, 2, "ABI 2 cannot restrict " + all, "the mounts, " + pid + " and " + net},
		{"Linux 5.13", nil, 1, "ABI 1 cannot restrict " + all, "the mounts, " + pid + " and " + net},
		{"the host's network", []func(*policy.Profile){hostNet}, 5, "ABI 5 cannot restrict " + noScopes + noSockets, pid},
		{"the host's processes", []func(*policy.Profile){hostPID}, 5, "ABI 5 cannot restrict " + noScopes + noSignals, net},
		{"both", []func(*policy.Profile){hostPID, hostNet}, 5, "ABI 5 cannot restrict " + noScopes + noSignals + noSockets, ""},
		{"both on 6.1", []func(*policy.Profile){hostPID, hostNet}, 2, "ABI 2 cannot restrict " + all + noSignals + noSockets, "the mounts"},
		{"no scope is asked for", []func(*policy.Profile){hostNet, func(p *policy.Profile) { p.Landlock.Scope.Set = true }}, 3,
			"ABI 3 cannot restrict ioctl on devices", "the mounts"},
		{"one scope is asked for", []func(*policy.Profile){hostNet, func(p *policy.Profile) {
			p.Landlock.Scope = policy.Opt[[]string]{Set: true, V: []string{"signal"}}
		}}, 5, "ABI 5 cannot restrict signals", pid},
		{"writable, and not in landlock.write", []func(*policy.Profile){writable, lists}, 2,
			"ABI 2 cannot restrict " + all + "; nothing restricts truncate(2) below /tmp, where landlock.write does not allow writing", "the mounts, " + pid + " and " + net},
		{"the same with ABI 3", []func(*policy.Profile){writable, lists}, 3, "ABI 3 cannot restrict ioctl on devices, " + noScopes, "the mounts, " + pid + " and " + net},
		{"all that is writable is in landlock.write", []func(*policy.Profile){writable}, 2, "ABI 2 cannot restrict " + all, "the mounts, " + pid + " and " + net},
		{"no Landlock at all", []func(*policy.Profile){hostNet}, 0, "this kernel has no Landlock, or it is not enabled" + noSockets,
			"the mounts, which are read-only as the profile says and " + pid},
		{"no Landlock, and a list", []func(*policy.Profile){writable, lists}, 0,
			"this kernel has no Landlock, or it is not enabled; nothing restricts what landlock.write forbids and the mounts allow",
			"the mounts, which are read-only as the profile says, " + pid + " and " + net},
	} {
		for _, word := range []policy.Layer{policy.LayerLandlock, policy.MissingLandlockRights, ""} {
			p := sandboxtest.HostRoot()
			p.Missing = []policy.MissingLayer{{Layer: word}}
			for _, change := range c.change {
				change(p)
			}
			comp, err := Compile(p, sandboxtest.OnHost(func(h *host.Host) { h.LandlockABI = c.abi }), &Request{Args: []string{"/usr/bin/true"}}, nil)
			same := c.abi > 0 && !strings.Contains(c.why, "nothing restricts")
			if starts := word == policy.LayerLandlock || word != "" && same; starts != (err == nil) {
				t.Errorf("%s, missing %q: %v", c.name, word, err)
			} else if !starts {
				refusedWithRemedy(t, err, c.why, same)
			} else if len(comp.Missing) != 1 || comp.Missing[0].Why != c.why || comp.Missing[0].Instead != c.instead || comp.Missing[0].Usual != same {
				t.Errorf("%s: %+v", c.name, comp.Missing)
			}
		}
	}
}

// The remedy names the one word that suffices under missing, and no other.
func refusedWithRemedy(t *testing.T, err error, why string, same bool) {
	t.Helper()
	var u *fail.UnsupportedError
	if !errors.As(err, &u) || u.Why != why {
		t.Errorf("%v, want %s", err, why)
	} else if strings.Contains(u.Remedy, "(--missing landlock-rights)") != same || strings.Contains(u.Remedy, "(--missing landlock)") == same {
		t.Errorf("%s: the remedy is %q", why, u.Remedy)
	}
}
