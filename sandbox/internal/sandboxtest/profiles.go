package sandboxtest

import (
	"testing"

	"cordon/policy"
	"cordon/profiles"
	"cordon/sandbox/host"
)

// Pos is line n of the profile that these tests pretend to have read.
func Pos(n int) policy.Pos { return policy.Pos{File: "p.yaml", Line: n, Col: 1} }

// Sourced says at which line the scalars of a profile stand: the first at 1.
func Sourced(paths ...string) []policy.Source {
	var list []policy.Source
	for i, p := range paths {
		list = append(list, policy.Source{Path: p, Pos: Pos(i + 1)})
	}
	return list
}

// HostRoot is the least profile in which programs of the host run.
func HostRoot() *policy.Profile {
	return &policy.Profile{Name: "test", Root: policy.Root{Kind: policy.RootHost}, Syscalls: policy.Syscalls{Default: "allow"}}
}

// With returns HostRoot, changed.
func With(change func(p *policy.Profile)) *policy.Profile {
	p := HostRoot()
	change(p)
	return p
}

// Mounted returns HostRoot with mounts, which stand at lines 10, 11 and so on.
func Mounted(m ...policy.Mount) *policy.Profile {
	return With(func(p *policy.Profile) {
		for i := range m {
			m[i].Pos = Pos(10 + i)
		}
		p.Mounts = m
	})
}

// OnHost returns FakeUser, changed.
func OnHost(change func(h *host.Host)) *host.Host {
	h := FakeUser()
	change(h)
	return h
}

// Shipped is a copy of a shipped profile that a test may change.
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

// OverHost is the host's tree with an overlay, for a task that has the caller's id.
func OverHost(upper string) *policy.Profile {
	return With(func(p *policy.Profile) {
		p.Root.Overlay = upper
		p.User.Host = policy.HostCaller
		p.Missing = []policy.MissingLayer{{Layer: policy.LayerLandlock}} // an old kernel has no scopes
		p.Mounts = []policy.Mount{{Kind: policy.MountProc, Target: "/proc"}, {Kind: policy.MountDev, Target: "/dev"}}
	})
}
