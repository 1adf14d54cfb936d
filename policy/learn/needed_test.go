package learn

import (
	"slices"
	"strings"
	"testing"

	"cordon/policy/recording"
)

// asked returns a record of a capability that the program requested and had.
func asked(name, by string, count uint64) recording.Event {
	return recording.Event{Kind: recording.KindCap, Exe: 0, Cap: name, By: by, Count: count}
}

func argument(name string, v uint64) recording.Arg { return recording.Arg{Name: name, Value: v} }

// TestCapabilitiesNeeded checks that learn keeps a capability only if a call would have failed without it, because the
// kernel often checks several capabilities before it knows which one it needs.
func TestCapabilitiesNeeded(t *testing.T) {
	file := func(p string, a recording.Access, errno string) recording.Event {
		return recording.Event{Kind: recording.KindPath, Path: p, Access: a, Errno: errno, Count: 1}
	}
	read, write := recording.Read, recording.Write
	for _, c := range []struct {
		name   string
		uid    uint32
		events []recording.Event
		kept   []string
	}{
		{name: "reading sysctls of the network", events: []recording.Event{asked("NET_ADMIN", "net_ctl_permissions", 2), file("/proc/sys/net/core/somaxconn", read, "")}},
		{name: "as a user", uid: 1000, events: []recording.Event{asked("NET_ADMIN", "net_ctl_permissions", 2), file("/proc/sys/net/core/somaxconn", read, "")}},
		{name: "a user's writing them", uid: 1000, events: []recording.Event{asked("NET_ADMIN", "net_ctl_permissions", 2), file("/proc/sys/net/core/somaxconn", write, "")}, kept: []string{"NET_ADMIN"}},
		{name: "that failed", uid: 1000, events: []recording.Event{asked("NET_ADMIN", "net_ctl_permissions", 2), file("/proc/sys/net/core/somaxconn", write, "EROFS")}},
		{name: "a user's reading a key", uid: 1000, events: []recording.Event{asked("NET_ADMIN", "net_ctl_permissions", 2), file("/proc/sys/net/ipv4/tcp_fastopen_key", read, "")}, kept: []string{"NET_ADMIN"}},
		{name: "another question", events: []recording.Event{asked("NET_ADMIN", "dev_ioctl", 1)}, kept: []string{"NET_ADMIN"}},
		{name: "ps", events: []recording.Event{asked("SYS_ADMIN", "pid_table_root_permissions", 2), file("/proc/sys/kernel/pid_max", read, "")}},
		{name: "root's limits of users", events: []recording.Event{asked("SYS_RESOURCE", "set_permissions", 1), file("/proc/sys/user/max_user_namespaces", write, "")}, kept: []string{"SYS_RESOURCE"}},
		{name: "its own group", events: []recording.Event{asked("SETGID", "__sys_setgid", 1), call("setgid", argument("gid", 0))}},
		{name: "its own user", uid: 1000, events: []recording.Event{asked("SETUID", "__sys_setuid", 1), call("setuid", argument("uid", 1000))}},
		{name: "another user", events: []recording.Event{asked("SETUID", "__sys_setuid", 2), call("setuid", argument("uid", 0)), call("setuid", argument("uid", 33))}, kept: []string{"SETUID"}},
		{name: "a number that is not known", events: []recording.Event{asked("SETUID", "__sys_setuid", 2), call("setuid")}, kept: []string{"SETUID"}},
		{name: "groups", events: []recording.Event{asked("SETGID", "may_setgroups", 1), asked("SETGID", "__sys_setgid", 1), call("setgid", argument("gid", 0))}, kept: []string{"SETGID"}},
		{name: "a file of nobody here", events: []recording.Event{asked("DAC_READ_SEARCH", "generic_permission", 1), asked("DAC_OVERRIDE", "generic_permission", 1), file("/proc/1/environ", read, "EACCES")}},
		{name: "a file that was opened", events: []recording.Event{asked("DAC_READ_SEARCH", "generic_permission", 1)}, kept: []string{"DAC_READ_SEARCH"}},
		{name: "a file that was written", events: []recording.Event{asked("DAC_OVERRIDE", "generic_permission", 1), file("/proc/1/environ", read, "EACCES")}, kept: []string{"DAC_OVERRIDE"}},
		{name: "capset", events: []recording.Event{asked("SETPCAP", "cap_capset", 1)}},
		{name: "securebits", events: []recording.Event{asked("SETPCAP", "cap_capset", 1), call("prctl", argument("op", 28))}, kept: []string{"SETPCAP"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			seen := rec(t, c.events...)
			seen.Header.Runs[0].UID, seen.Header.Runs[0].GID = c.uid, c.uid
			f, r := learned(t, Options{}, seen)
			var kept []string
			for _, k := range r.Profile.Capabilities.Keep {
				kept = append(kept, k.Name)
			}
			if !slices.Equal(kept, c.kept) {
				t.Errorf("kept %q, want %q\n%s", kept, c.kept, r.YAML())
			}
			for _, d := range replayed(t, r.YAML(), base(t), f) {
				if strings.HasPrefix(d, "caps:") {
					t.Errorf("denied: %q", d)
				}
			}
		})
	}
}
