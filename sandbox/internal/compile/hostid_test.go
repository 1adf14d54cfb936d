package compile

import (
	"strings"
	"testing"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/sandboxtest"
)

// plainRoot returns the host of a root that lacks some capabilities.
func plainRoot(maps bool) *host.Host {
	h := sandboxtest.FakeRoot()
	h.Privileged, h.HostRoot, h.MapsIDs = false, true, maps
	return h
}

func TestRootIsNobodyOutside(t *testing.T) {
	writes := func() *policy.Profile {
		p := sandboxtest.HostRoot()
		p.Mounts = append(p.Mounts, policy.Mount{Kind: policy.MountBind, Source: "/srv", Write: true})
		return p
	}
	caller := sandboxtest.HostRoot()
	caller.User.Host = policy.HostCaller
	numbered := sandboxtest.HostRoot()
	numbered.User.UID = policy.Opt[uint32]{V: 1000, Set: true}
	tests := []struct {
		name string
		p    *policy.Profile
		h    *host.Host
		want string // of the error; "" for none
	}{
		{"all capabilities", sandboxtest.HostRoot(), sandboxtest.FakeRoot(), ""},
		{"no SYS_ADMIN", sandboxtest.HostRoot(), plainRoot(true), ""},
		{"no SETUID", sandboxtest.HostRoot(), plainRoot(false), "userns: the task would be root on the host"},
		{"no SETUID, another number inside", numbered, plainRoot(false), "userns: the task would be root on the host"},
		{"no SETUID, as the profile says", caller, plainRoot(false), ""},
		{"no SYS_ADMIN, and it writes what root owns", writes(), plainRoot(true), "mount: /srv: the task cannot write it"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Compile(tt.p, tt.h, &Request{Args: []string{"true"}, Env: []string{"PATH=/usr/bin"}}, nil)
			switch {
			case tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want)):
				t.Errorf("%v, not %q", err, tt.want)
			case tt.want == "" && err != nil:
				t.Error(err)
			case err == nil && tt.p.User.Host != policy.HostCaller && (c.IDs.OutUID < FirstTaskID || c.IDs.OutGID < FirstTaskID):
				t.Errorf("ids outside: %d, %d", c.IDs.OutUID, c.IDs.OutGID)
			}
		})
	}
}

func TestReadBackIDs(t *testing.T) {
	c := &Compilation{Profile: sandboxtest.HostRoot(), Host: sandboxtest.FakeRoot(), IDs: identity{OutUID: 1000000005, OutGID: 1000000005}}
	tests := []struct{ uid, gid, groups, want string }{
		{"1000000005 1000000005 1000000005 1000000005", "1000000005 1000000005 1000000005 1000000005", "", ""},
		{"1000000005 0 1000000005 1000000005", "1000000005", "", "Uid is 0"},
		{"1000000005", "0", "", "Gid is 0"},
		{"1000000006", "1000000005", "", "Uid is 1000000006"},
		{"1000000005", "1000000005", "4 0", "root's groups"},
	}
	for _, tt := range tests {
		err := c.CheckIDs([]byte("Uid:\t" + tt.uid + "\nGid:\t" + tt.gid + "\nGroups:\t" + tt.groups + "\n"))
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

// TestRootOfContainer checks that the report says that the task is root of a container, if the caller is and the
// profile does not say it.
func TestRootOfContainer(t *testing.T) {
	caller := sandboxtest.HostRoot()
	caller.User.Host = policy.HostCaller
	for _, tt := range []struct {
		name, uidMap string
		p            *policy.Profile
		root         bool // of the host
		said         bool
	}{
		{"a rootless container", "0 1000 1\n1 100000 65536\n", sandboxtest.HostRoot(), false, true},
		{"a container of root's", "0 100000 65536\n", sandboxtest.HostRoot(), false, true},
		{"the profile says so", "0 1000 1\n1 100000 65536\n", caller, false, false},
		{"no other id", "0 1000 1\n", sandboxtest.HostRoot(), false, false},
		{"the host's root", "0 0 4294967295\n", sandboxtest.HostRoot(), true, false},
	} {
		h := sandboxtest.FakeRoot()
		h.HostRoot = tt.root
		h.Files.(sandboxtest.FakeFiles).Put("/proc/self/uid_map", sandboxtest.FakeFile{Perm: 0o444, Text: tt.uidMap})
		c, err := Compile(tt.p, h, &Request{Args: []string{"true"}, Env: []string{"PATH=/usr/bin"}}, nil)
		if err != nil {
			t.Fatal(tt.name, err)
		}
		said := false
		for _, m := range c.Missing {
			said = said || m.Layer == policy.LayerUser && strings.Contains(m.Why, "container")
		}
		if said != tt.said {
			t.Errorf("%s: said %v, want %v: %v", tt.name, said, tt.said, c.Missing)
		}
	}
}
