package sandbox

import (
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
)

// plainRoot is root without some capabilities.
func plainRoot(maps bool) *host.Host {
	h := fakeRoot()
	h.Privileged, h.HostRoot, h.MapsIDs = false, true, maps
	return h
}

func TestRootIsNobodyOutside(t *testing.T) {
	writes := func() *policy.Profile {
		p := hostRoot()
		p.Mounts = append(p.Mounts, policy.Mount{Kind: policy.MountBind, Source: "/srv", Write: true})
		return p
	}
	caller := hostRoot()
	caller.User.Host = policy.HostCaller
	numbered := hostRoot()
	numbered.User.UID = policy.Opt[uint32]{V: 1000, Set: true}
	tests := []struct {
		name string
		p    *policy.Profile
		h    *host.Host
		want string // of the error; "" for none
	}{
		{"all capabilities", hostRoot(), fakeRoot(), ""},
		{"no SYS_ADMIN", hostRoot(), plainRoot(true), ""},
		{"no SETUID", hostRoot(), plainRoot(false), "userns: the task would be root on the host"},
		{"no SETUID, another number inside", numbered, plainRoot(false), "userns: the task would be root on the host"},
		{"no SETUID, as the profile says", caller, plainRoot(false), ""},
		{"no SYS_ADMIN, and it writes what root owns", writes(), plainRoot(true), "mount: /srv: the task cannot write it"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := compile(tt.p, tt.h, &Request{Args: []string{"true"}, Env: []string{"PATH=/usr/bin"}}, nil)
			switch {
			case tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want)):
				t.Errorf("%v, not %q", err, tt.want)
			case tt.want == "" && err != nil:
				t.Error(err)
			case err == nil && tt.p.User.Host != policy.HostCaller && (c.ids.outUID < firstTaskID || c.ids.outGID < firstTaskID):
				t.Errorf("ids outside: %d, %d", c.ids.outUID, c.ids.outGID)
			}
		})
	}
}

func TestReadBackIDs(t *testing.T) {
	c := &compilation{profile: hostRoot(), host: fakeRoot(), ids: identity{outUID: 1000000005, outGID: 1000000005}}
	tests := []struct{ uid, gid, groups, want string }{
		{"1000000005 1000000005 1000000005 1000000005", "1000000005 1000000005 1000000005 1000000005", "", ""},
		{"1000000005 0 1000000005 1000000005", "1000000005", "", "Uid is 0"},
		{"1000000005", "0", "", "Gid is 0"},
		{"1000000006", "1000000005", "", "Uid is 1000000006"},
		{"1000000005", "1000000005", "4 0", "root's groups"},
	}
	for _, tt := range tests {
		err := c.checkIDs([]byte("Uid:\t" + tt.uid + "\nGid:\t" + tt.gid + "\nGroups:\t" + tt.groups + "\n"))
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

func TestTaskIDs(t *testing.T) {
	dir, seen := t.TempDir(), map[int]bool{}
	for range 200 {
		p := &process{cmd: &Command{Host: &host.Host{HostRoot: true, MapsIDs: true, State: dir}}}
		id, err := p.drawTaskID()
		if err != nil {
			t.Fatal(err)
		}
		if id < firstTaskID || id > lastTaskID || seen[id] {
			t.Errorf("%d, drawn before: %v", id, seen[id])
		}
		seen[id] = true
		other := openTaskIDs(dir)
		lock := unix.Flock_t{Type: unix.F_WRLCK, Start: int64(id), Len: 1}
		if unix.FcntlFlock(uintptr(other), unix.F_OFD_SETLK, &lock) == nil {
			t.Errorf("%d is not locked", id)
		}
		unix.Close(p.ids)
		if err := unix.FcntlFlock(uintptr(other), unix.F_OFD_SETLK, &lock); err != nil {
			t.Errorf("%d behind the end: %v", id, err)
		}
		unix.Close(other)
	}
}

// TestTwoOfOneProcess: sandboxes of one root process are different users outside.
func TestTwoOfOneProcess(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("an ordinary user's tasks are that user")
	}
	var lines [3]string
	var wg sync.WaitGroup
	for i := range lines {
		wg.Go(func() { lines[i], _ = output(t, shell(t, "cat /proc/self/uid_map; sleep 0.2")) })
	}
	wg.Wait()
	for i, line := range lines {
		f := strings.Fields(line)
		if len(f) != 3 || f[1] == "0" || line == lines[(i+1)%len(lines)] {
			t.Errorf("maps: %q", lines)
		}
	}
}

// TestThreadIsSomebodyElse: a sandbox does not start where the thread that asks for it is not who would start it.
func TestThreadIsSomebodyElse(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can be somebody else")
	}
	for _, ids := range [][3]int{{-1, testUser, -1}, {testUser, testUser, -1}, {testUser, -1, -1}} {
		for _, exclusive := range []bool{false, true} {
			for _, hostPath := range []bool{false, true} {
				c := shell(t, "cat /proc/self/uid_map")
				c.Exclusive = exclusive
				if hostPath {
					c.Host, _ = host.Probe()
				}
				started := make(chan error)
				go func() {
					runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
					if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(ids[0]), uintptr(ids[1]), uintptr(ids[2])); errno != 0 {
						started <- nil
						return
					}
					started <- c.Start()
				}()
				if err := <-started; err == nil || !strings.Contains(err.Error(), "start: ") {
					t.Errorf("ids %v, exclusive %v: %v", ids, exclusive, err)
				}
			}
		}
	}
}
