package sandboxtest

import (
	"testing"

	"cordon/policy"
	"cordon/profiles"
	"cordon/sandbox/host"
)

// Pos returns the position of line n in a profile that exists only in the test.
func Pos(n int) policy.Pos { return policy.Pos{File: "p.yaml", Line: n, Col: 1} }

// Sourced gives the values at these paths of a profile the positions at lines 1, 2 and so on.
func Sourced(paths ...string) []policy.Source {
	var list []policy.Source
	for i, p := range paths {
		list = append(list, policy.Source{Path: p, Pos: Pos(i + 1)})
	}
	return list
}

// HostRoot returns the smallest profile under which programs of the host run.
func HostRoot() *policy.Profile {
	return &policy.Profile{Name: "test", Root: policy.Root{Kind: policy.RootHost}, Syscalls: policy.Syscalls{Default: "allow"}}
}

// With returns HostRoot with a change.
func With(change func(p *policy.Profile)) *policy.Profile {
	p := HostRoot()
	change(p)
	return p
}

// Mounted returns HostRoot with these mounts, which have the positions at lines 10, 11 and so on.
func Mounted(m ...policy.Mount) *policy.Profile {
	return With(func(p *policy.Profile) {
		for i := range m {
			m[i].Pos = Pos(10 + i)
		}
		p.Mounts = m
	})
}

// OnHost returns FakeUser with a change.
func OnHost(change func(h *host.Host)) *host.Host {
	h := FakeUser()
	change(h)
	return h
}

// Shipped returns a copy of a shipped profile that a test may change.
func Shipped(t testing.TB, name string) *policy.Profile {
	t.Helper()
	p, err := profiles.Search{}.Load([]string{name}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := *p
	c.Mounts = append([]policy.Mount(nil), p.Mounts...)
	return &c
}

// OverHost returns a profile that shows the host's root through an overlay, for a task with the caller's id.
func OverHost(upper string) *policy.Profile {
	return With(func(p *policy.Profile) {
		p.Root.Overlay = upper
		p.User.Host = policy.HostCaller
		p.Missing = []policy.MissingLayer{{Layer: policy.LayerLandlock}} // an old kernel has no Landlock scopes
		p.Mounts = []policy.Mount{{Kind: policy.MountProc, Target: "/proc"}, {Kind: policy.MountDev, Target: "/dev"}}
	})
}
