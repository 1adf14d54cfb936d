package compile

import (
	"strings"
	"testing"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/sandboxtest"
)

// plainRoot is root without some capabilities.
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
