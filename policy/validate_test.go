package policy

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"empty", "version: 1\n", nil},
		{"network host", "network: host\n", nil},
		{"network host twice", "network: host\nnamespaces: {net: host}\n", nil},
		{"network host, net new", "network: host\nnamespaces: {net: new}\n", []string{`f:1:10: network: host, but namespaces.net is not the host's; drop one of them; the other is in "f:2"`}},
		{"network host, net joined", "network: host\nnamespaces: {net: /n}\n", []string{`f:1:10: network: host, but namespaces.net is not the host's; drop one of them; the other is in "f:2"`}},
		{"network none, net host", "namespaces: {net: host}\n", []string{`f:1:19: namespaces.net: host, but network is none; write network: host`}},
		{"net joined", "namespaces: {net: /n}\n", nil},
		{"ambient", "capabilities: {keep: [KILL], ambient: [KILL, CHOWN]}\n", []string{`f:1:46: capabilities.ambient[1]: CHOWN is not in keep; name it in both`}},
		{"host name in the host's", "hostname: a\nnamespaces: {uts: host}\n", []string{`f:1:11: hostname: it needs a new uts namespace; drop it, or namespaces.uts`}},
		{"ranges in the host's", "user: {ranges: true}\nnamespaces: {user: host}\n", []string{`f:1:16: user.ranges: they need a new user namespace`}},
		{"mounts in the host's", "hide: [/a]\nnamespaces: {mount: host}\n", []string{`f:2:21: namespaces.mount: root, mounts and hide need a new one; extend nothing, and name none of them`}},
		{"mqueue of the host's", "mounts: [{dev: /dev}, {mqueue: /dev/mqueue}]\nnamespaces: {ipc: host}\n", []string{`f:1:23: mounts[1]: mqueue needs a ipc namespace of its own; --remove mounts=/dev/mqueue takes it away; {bind: /dev/mqueue} is the host's`}},
		{"optional sysfs with the host's network", "mounts: [{sysfs: /sys, optional: true}]\nnetwork: host\n", nil},
		{"sysfs with the host's network", "mounts: [{sysfs: /sys}]\nnetwork: host\n", []string{`f:1:10: mounts[0]: sysfs needs a net namespace of its own; --remove mounts=/sys takes it away; {bind: /sys} is the host's`}},
		{"umask", "process: {umask: \"1777\"}\n", []string{`f:1:18: process.umask: "1777" is not a umask; such as "0022"`}},
		{"rw and overlay", "root: {dir: /r, mode: rw, overlay: tmp}\n", []string{`f:1:23: root: mode: rw and an overlay together; with an overlay the directory itself stays as it is`}},
		{"network list", "network: {allow: [\"a:1\"], deny: [\":22\"], interface: none}\n", nil},
		{"published", "network: {publish: [\"8080:80\", \"127.0.0.1:8080:80\"]}\n", nil},
		{"published twice", "network: {publish: [\"8080:80\", \"127.0.0.1:8080:81\"]}\n", []string{`f:1:32: network.publish[1]: 127.0.0.1:8080 leads to two ports; drop one of them; the other is in "f:1"`}},
		{"network list, net joined", "network: {allow: [\"a:1\"]}\nnamespaces: {net: /n}\n", []string{`f:1:10: network: a list, but namespaces.net is not new; drop one of them; the other is in "f:2"`}},
		{"tty broker", "tty: broker\n", nil},
		{"output", "limits: {output: 1MiB}\n", nil},
		{"cgroup limits", "limits: {memory: 1GiB, swap: 0, cpus: 1, pids: 9, cpu-time: 1s}\n", nil},
		{"high above max", "limits: {memory: 1GiB, memory-high: 2GiB}\n", []string{
			`f:1:37: limits.memory-high: more than memory: it would never be reached; less than 1GiB`}},
		{"cgroup limits that may be missing", "limits: {memory: 1GiB, cpu-time: 1s}\nmissing: [cgroup]\n", nil},
		{"removal of nothing", "env: {remove: [LANGG], keep: [LANG]}\n", []string{`f:1:16: env: remove: "LANGG" is not inherited; did you mean "LANG"?`}},
		{"removal of no rule", "syscalls: {remove: [{read: kill}]}\n", []string{`f:1:21: syscalls: remove: the rule "read: kill" is not inherited`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := first(Validate(parse(t, "f", c.in))); !reflect.DeepEqual(got, c.want) {
				t.Errorf("\n got %q\nwant %q", got, c.want)
			}
		})
	}
}

// TestValidateBuilt checks that a profile that a program made may contain only values that a file could contain.
func TestValidateBuilt(t *testing.T) {
	for _, c := range []struct {
		name string
		p    Profile
		want string
	}{
		{"zero", Profile{}, ""},
		{"host name", Profile{Hostname: "a\nb"}, `hostname: "a\nb" is not a host name; letters, digits, '.', '_' and '-'`},
		{"relative bind", Profile{Mounts: []Mount{{Kind: MountBind, Source: "x"}}}, `mounts[0]: "x" is not absolute; did you mean "./x"? a path begins with /, ./ or ~/`},
		{"no bind", Profile{Mounts: []Mount{{Kind: MountBind}}}, `mounts[0]: an empty path`},
		{"bind", Profile{Mounts: []Mount{{Kind: MountBind, Source: "/x", Write: true}}}, ""},
		{"no target", Profile{Mounts: []Mount{{Kind: MountTmpfs}}}, `mounts[0]: an empty path`},
		{"target", Profile{Mounts: []Mount{{Kind: MountTmpfs, Target: "/a/../b"}}}, `mounts[0]: "/a/../b": ".." in a path; write the path that is meant`},
		{"kind", Profile{Mounts: []Mount{{Kind: "ramfs", Target: "/a"}}}, `mounts[0]: "ramfs" is not a mount`},
		{"generated", Profile{Mounts: []Mount{{Kind: MountGenerate, Target: "/etc/shadow"}}}, `mounts[0]: "/etc/shadow" is not known here; it is ` + oneOf(generateWords)},
		{"symlink", Profile{Mounts: []Mount{{Kind: MountSymlink, Target: "/a"}}}, `mounts[0]: a symlink needs its text; such as {symlink: /bin, to: usr/bin}`},
		{"hidepid", Profile{Mounts: []Mount{{Kind: MountProc, Target: "/proc", Hidepid: "2"}}}, `mounts[0]: "2" is not known here; it is ` + oneOf(HidepidWords)},
		{"size", Profile{Mounts: []Mount{{Kind: MountTmpfs, Target: "/a", Size: -1}}}, `mounts[0]: "-1" is not a size; a size is a number and a unit, such as 512MiB`},
		{"perm", Profile{Mounts: []Mount{{Kind: MountDir, Target: "/a", Perm: Opt[uint32]{true, 0o10000}}}}, `mounts[0]: "10000" is not an octal mode; such as "0755" or "1777"`},
		{"hide", Profile{Hide: []Hide{{Pattern: "x"}}}, `hide[0]: "x" is not absolute; did you mean "**/x"? a pattern begins with /, ~/ or **/`},
		{"env", Profile{Env: Env{Set: []EnvVar{{Name: "A=B"}}}}, `env.set[0]: "A=B" is not a variable's name`},
		{"env NUL", Profile{Env: Env{Set: []EnvVar{{Name: "A", Value: "\x00"}}}}, `env.set[0]: a NUL in a text`},
		{"root kind", Profile{Root: Root{Kind: "x"}}, `root: "x" is not a tree; host, dir or empty`},
		{"root dir", Profile{Root: Root{Kind: RootDir}}, `root.dir: an empty path`},
		{"writable host", Profile{Root: Root{Kind: RootHost, Write: true}}, `root: only a dir can be writable; bind or overlay what is to be written: mounts: [{overlay: DIR}]`},
		{"overlay of nothing", Profile{Root: Root{Overlay: "tmp"}}, `root: an overlay over an empty tree; name a tree: {host: ro} or {dir: PATH}`},
		{"tty", Profile{TTY: "x"}, `tty: "x" is not known here; it is none, inherit or broker`},
		{"join without a path", Profile{Namespaces: Namespaces{IPC: Namespace{Mode: NSJoin}}}, `namespaces.ipc: "" is not a namespace; it is new, host or an absolute path to join`},
		{"offsets", Profile{Namespaces: Namespaces{Time: TimeNamespace{Monotonic: time.Hour}}}, `namespaces.time: offsets need a new namespace`},
		{"uid", Profile{User: User{UID: Opt[uint32]{true, ^uint32(0)}}}, `user.uid: 4294967295 is out of range; the range is 0 to 4294967294`},
		{"nice", Profile{Process: Process{Nice: Opt[int]{true, 99}}}, `process.nice: 99 is out of range; the range is -20 to 19`},
		{"wall", Profile{Limits: Limits{Wall: Opt[time.Duration]{Set: true}}}, `limits.wall: "0s" is out of range; a time span is longer than 0`},
		{"rlimit", Profile{Limits: Limits{Rlimits: []Rlimit{{Name: "x"}}}}, `limits.rlimits[0]: "x" is not an rlimit`},
		{"memory", Profile{Limits: Limits{Memory: Opt[int64]{true, 0}}}, `limits.memory: "0" is too little; at least 4KiB`},
		{"negative memory", Profile{Limits: Limits{Memory: Opt[int64]{true, -4096}}}, `limits.memory: "-4096" is not a size; a size is a number and a unit, such as 512MiB`},
		{"io path", Profile{Limits: Limits{IO: []IOMax{{Path: "sda", Reads: 1}}}}, `limits.io[0]: "sda" is not absolute; did you mean "./sda"? a path begins with /, ./ or ~/`},
		{"io", Profile{Limits: Limits{IO: []IOMax{{Path: "/dev/sda"}}}}, `limits.io[0]: no limit; such as rbps=10MiB`},
		{"io value", Profile{Limits: Limits{IO: []IOMax{{Path: "/dev/sda", Reads: -1}}}}, `limits.io[0]: -1 is out of range; the range is 1 to 2147483647`},
		{"page size", Profile{Limits: Limits{Hugetlb: []Hugetlb{{PageSize: 5}}}}, `limits.hugetlb[0]: "5" is not the size of a page; such as 2MiB or 1GiB`},
		{"huge pages", Profile{Limits: Limits{Hugetlb: []Hugetlb{{PageSize: 2 << 20, Max: -1}}}}, `limits.hugetlb[0]: a negative size`},
		{"cgroup", Profile{Limits: Limits{Cgroup: "/a/../b"}}, `limits.cgroup: "/a/../b": ".." in a path; write the path that is meant`},
		{"rlimit value", Profile{Limits: Limits{Rlimits: []Rlimit{{Name: "cpu", Value: 1 << 63}}}}, `limits.rlimits[0]: cpu is out of range`},
		{"capability", Profile{Capabilities: Capabilities{Keep: []Capability{{Name: "x"}}}}, `capabilities.keep[0]: "x" is not a capability`},
		{"call", Profile{Syscalls: Syscalls{Deny: []SyscallItem{{Name: "ptraec"}}}}, `syscalls.deny[0]: "ptraec" is not a system call; did you mean "ptrace"?`},
		{"rule", Profile{Syscalls: Syscalls{Rules: []SyscallRule{{Call: "read", Expr: "fd == 0", Else: "x"}}}}, `syscalls.rules[0]: unknown action "x"; allow, log, kill, kill-thread, trap, notify, errno(NAME) or trace(NUMBER)`},
		{"scope", Profile{Landlock: Landlock{Scope: Opt[[]string]{true, []string{"x"}}}}, `landlock.scope[0]: "x" is not known here; it is signal or abstract-unix-socket`},
		{"layer", Profile{Missing: []MissingLayer{{Layer: LayerSeccomp}}}, `missing[0]: "seccomp" cannot be missing; it is cgroup, landlock, landlock-rights, time, hide, namespaces`},
		{"network", Profile{Network: Network{Mode: "x"}}, `network: "x" is not known here; none or host`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := strings.Join(first(Validate(&c.p)), "\n")
			if got, _, _ = strings.Cut(got, "\n"); got != c.want {
				t.Errorf("\n got %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestValidateAcceptsTheExample(t *testing.T) {
	p := parse(t, "f", example)
	p.Remove, p.Limits.Output = nil, Opt[int64]{}
	p.Namespaces.PID = Namespace{}
	if err := Validate(p); err != nil {
		t.Error(err)
	}
}
