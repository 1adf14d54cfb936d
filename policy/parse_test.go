package policy

import (
	"bytes"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"cordon/policy/yaml"
)

// example uses every key that belongs to a layer.
const example = `version: 1
name: build
about: Compile and test a checked-out project.
extends: [default, ./more.yaml]
root: {dir: /srv/rootfs, overlay: tmp, enter: chroot}
mounts:
  - {bind: ., mode: rw, noexec: true, optional: true}
  - {bind: ~/src/, target: /src}
  - {tmpfs: /tmp, size: 1GiB, mode: "1777"}
  - {proc: /proc, hidepid: invisible, mask: [/proc/kcore], read-only: []}
  - {dev: /dev}
  - {mqueue: /dev/mqueue}
  - {sysfs: /sys}
  - {overlay: /usr, upper: /var/upper}
  - {overlay: /opt, lower: /srv/opt}
  - {symlink: /bin, to: ../usr/bin}
  - {dir: /var/empty, mode: "0700"}
  - {file: /etc/issue, content: "hello\n", mode: "0600"}
  - {generate: /etc/passwd}
  - {remove: /old}
hide: [~/.ssh, "**/.env", "/etc/*.key"]
hostname: box
namespaces: {user: new, pid: host, net: /run/netns/x, time: {monotonic: 1h, boottime: -30m}}
user: {uid: 0, gid: keep, host: caller, ranges: true}
env: {remove: [LANG], keep: [PATH, "LC_*"], set: {CI: "true", EMPTY: ""}}
capabilities: {remove: [CHOWN], keep: [NET_BIND_SERVICE], ambient: [NET_BIND_SERVICE]}
syscalls:
  remove: ["@io-event", {ioctl: "uint32(cmd) != TIOCSTI"}]
  default: kill
  unknown: errno(ENOSYS)
  arches: [native, i386]
  allow: ["@system-service"]
  deny: ["@keyring", ptrace]
  rules:
    - socket: in(family, AF_UNIX)
    - {clone: flags & CLONE_NEW_ANY == 0, else: errno(EAFNOSUPPORT)}
    - clone3: errno(ENOSYS)
landlock: {read: [/usr], write: [., /tmp/], execute: [], scope: [signal]}
network: none
limits:
  {memory: 2GiB, swap: 0, cpus: 1.5, pids: 512, wall: 30m, cpu-time: 1h30m, output: 64MiB,
   rlimits: {nofile: 4096, core: 0, fsize: 4GiB, cpu: 1m, stack: unlimited}}
process: {workdir: /src, umask: "0022", nice: -5, oom-score-adj: 500}
tty: inherit
on-denial: silent
missing: [cgroup, landlock, {remove: time}]
`

func TestParseExample(t *testing.T) {
	p, err := Parse("x.yaml", []byte(example))
	if err != nil {
		t.Fatal(err)
	}
	at := func(line, col int) Pos { return Pos{File: "x.yaml", Line: line, Col: col} }
	mounts := []Mount{
		{Kind: MountBind, Source: ".", Write: true, NoExec: true, Optional: true, Pos: at(7, 5)},
		{Kind: MountBind, Source: "~/src", Target: "/src", Pos: at(8, 5)},
		{Kind: MountTmpfs, Target: "/tmp", Size: 1 << 30, Perm: Opt[uint32]{true, 0o1777}, Pos: at(9, 5)},
		{Kind: MountProc, Target: "/proc", Hidepid: "invisible", Mask: Opt[[]string]{true, []string{"/proc/kcore"}}, ReadOnly: Opt[[]string]{Set: true}, Pos: at(10, 5)},
		{Kind: MountDev, Target: "/dev", Pos: at(11, 5)},
		{Kind: MountMqueue, Target: "/dev/mqueue", Pos: at(12, 5)},
		{Kind: MountSysfs, Target: "/sys", Pos: at(13, 5)},
		{Kind: MountOverlay, Source: "/usr", Target: "/usr", Upper: "/var/upper", Pos: at(14, 5)},
		{Kind: MountOverlay, Source: "/srv/opt", Target: "/opt", Upper: "tmp", Pos: at(15, 5)},
		{Kind: MountSymlink, Source: "../usr/bin", Target: "/bin", Pos: at(16, 5)},
		{Kind: MountDir, Target: "/var/empty", Perm: Opt[uint32]{true, 0o700}, Pos: at(17, 5)},
		{Kind: MountFile, Target: "/etc/issue", Content: "hello\n", Perm: Opt[uint32]{true, 0o600}, Pos: at(18, 5)},
		{Kind: MountGenerate, Target: "/etc/passwd", Pos: at(19, 5)},
	}
	for _, c := range []struct {
		name      string
		got, want any
	}{
		{"version", p.Version, 1},
		{"extends", p.Extends, []string{"default", "./more.yaml"}},
		{"root", p.Root, Root{Kind: RootDir, Dir: "/srv/rootfs", Overlay: "tmp", Enter: EnterChroot}},
		{"mounts", p.Mounts, mounts},
		{"hide", p.Hide, []Hide{{Pattern: "~/.ssh", Pos: at(21, 8)}, {Pattern: "**/.env", Pos: at(21, 16)}, {Pattern: "/etc/*.key", Pos: at(21, 27)}}},
		{"hostname", p.Hostname, "box"},
		{"namespaces", p.Namespaces, Namespaces{PID: Namespace{Mode: NSHost}, Net: Namespace{NSJoin, "/run/netns/x"}, Time: TimeNamespace{New: true, Monotonic: time.Hour, Boottime: -30 * time.Minute}}},
		{"user", p.User, User{UID: Opt[uint32]{Set: true}, Host: HostCaller, Ranges: true}},
		{"env", p.Env, Env{Keep: []EnvKeep{{"PATH", at(25, 30)}, {"LC_*", at(25, 36)}}, Set: []EnvVar{{"CI", "true", at(25, 55)}, {"EMPTY", "", at(25, 70)}}}},
		{"capabilities", p.Capabilities, Capabilities{Keep: []Capability{{"NET_BIND_SERVICE", at(26, 40)}}, Ambient: []Capability{{"NET_BIND_SERVICE", at(26, 69)}}}},
		{"syscalls.rules", p.Syscalls.Rules, []SyscallRule{
			{Call: "socket", Expr: "in(family, AF_UNIX)", Pos: at(35, 7)},
			{Call: "clone", Expr: "flags & CLONE_NEW_ANY == 0", Else: "errno(EAFNOSUPPORT)", Pos: at(36, 7)},
			{Call: "clone3", Expr: "errno(ENOSYS)", Pos: at(37, 7)},
		}},
		{"syscalls.default", p.Syscalls.Default, "kill"},
		{"syscalls.arches", p.Syscalls.Arches, []string{"native", "i386"}},
		{"landlock", p.Landlock, Landlock{
			Read:    Opt[[]PathItem]{true, []PathItem{{"/usr", at(38, 19)}}},
			Write:   Opt[[]PathItem]{true, []PathItem{{".", at(38, 34)}, {"/tmp", at(38, 37)}}},
			Execute: Opt[[]PathItem]{Set: true}, Scope: Opt[[]string]{true, []string{"signal"}}}},
		{"limits.memory", p.Limits.Memory, Opt[int64]{true, 2 << 30}},
		{"limits.swap", p.Limits.Swap, Opt[int64]{Set: true}},
		{"limits.cpus", p.Limits.CPUs, Opt[float64]{true, 1.5}},
		{"limits.cpu-time", p.Limits.CPUTime, Opt[time.Duration]{true, 90 * time.Minute}},
		{"limits.rlimits", p.Limits.Rlimits, []Rlimit{
			{"core", 0, at(42, 34)}, {"cpu", 60, at(42, 55)}, {"fsize", 4 << 30, at(42, 44)}, {"nofile", 4096, at(42, 22)}, {"stack", Unlimited, at(42, 66)}}},
		{"process", p.Process, Process{Workdir: "/src", Umask: Opt[uint32]{true, 0o022}, Nice: Opt[int]{true, -5}, OOMScoreAdj: Opt[int]{true, 500}}},
		{"tty", p.TTY, TTYInherit},
		{"missing", p.Missing, []MissingLayer{{LayerCgroup, at(46, 11)}, {LayerLandlock, at(46, 19)}}},
		{"remove", p.Remove, []Removal{
			{Section: "mounts", Value: "/old", Pos: at(20, 14)},
			{Section: "env", Value: "LANG", Pos: at(25, 16)},
			{Section: "capabilities", Value: "CHOWN", Pos: at(26, 25)},
			{Section: "syscalls", Value: "@io-event", Pos: at(28, 12)},
			{Section: "syscalls", Value: "ioctl", Expr: "uint32(cmd) != TIOCSTI", Pos: at(28, 25)},
			{Section: "missing", Value: "time", Pos: at(46, 38)},
		}},
		{"source of uid", p.Source("user.uid"), at(24, 13)},
		{"source of tty", p.Source("tty"), at(44, 6)},
		{"source of nothing", p.Source("limits"), Pos{}},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", c.name, c.got, c.want)
		}
	}
}

// first returns the first line of each error, in order.
func first(err error) []string {
	var all Errors
	if !errors.As(err, &all) {
		if err == nil {
			return nil
		}
		return []string{err.Error()}
	}
	var out []string
	for _, e := range all {
		s, _, _ := strings.Cut(e.Error(), "\n")
		out = append(out, s)
	}
	return out
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"empty file", "", `f:1: an empty file; a profile begins with version: 1`},
		{"only a comment", "# x\n", `f:1: an empty file; a profile begins with version: 1`},
		{"a list", "- a\n", `f:1:1: a profile is a mapping, not a list; it begins with version: 1`},
		{"unknown key", "mount: []\n", `f:1:1: unknown key "mount"; did you mean "mounts"?`},
		{"key of another section", "memory: 1GiB\n", `f:1:1: unknown key "memory"; "memory" belongs under limits:`},
		{"top key in a section", "env: {hide: []}\n", `f:1:7: env: unknown key "hide"; "hide" belongs at the top of the file`},
		{"duplicate key", "tty: none\ntty: none\n", `f:2:1: duplicate key "tty"; it is also in line 1`},
		{"version", "version: 2\n", `f:1:10: version: version "2" is not known; this is version 1`},
		{"version as text", "version: \"1\"\n", `f:1:10: version: want a whole number, not a string`},
		{"name", "name: My Profile\n", `f:1:7: name: "My Profile" is not a profile's name; lower-case letters, digits, '.', '_' and '-', at most 64`},
		{"missing value", "tty:\n", `f:1:5: tty: a value is missing`},
		{"lone tilde", "mounts: [{tmpfs: ~}]\n", `f:1:18: mounts[0].tmpfs: a value is missing; a lone ~ is nothing in YAML; write "~"`},
		{"list for a mapping", "limits: [1]\n", `f:1:9: limits: want a mapping, not a list`},
		{"mapping for a list", "hide: {a: b}\n", `f:1:7: hide: want a list, not a mapping`},
		{"word", "tty: inherits\n", `f:1:6: tty: "inherits" is not known here; did you mean "inherit"?`},
		{"far word", "tty: pseudo\n", `f:1:6: tty: "pseudo" is not known here; it is none, inherit or broker`},
		{"bool as text", "user: {ranges: \"true\"}\n", `f:1:16: user.ranges: want true or false, not a string`},
		{"number for text", "hostname: 1\n", `f:1:11: hostname: want a string, not a number; write "1"`},
		{"bool for text", "env: {set: {CI: true}}\n", `f:1:17: env.set.CI: want a string, not true or false; write "true"`},
		{"host name too long", "hostname: " + strings.Repeat("a", 65) + "\n", `f:1:11: hostname: a host name of 65 bytes; at most 64`},
		{"host name", "hostname: a b\n", `f:1:11: hostname: "a b" is not a host name; letters, digits, '.', '_' and '-'`},
		{"mode as number", "mounts: [{tmpfs: /tmp, mode: 1777}]\n", `f:1:30: mounts[0].mode: want an octal mode in quotes, not a number; write "1777"`},
		{"mode", "mounts: [{tmpfs: /tmp, mode: \"0888\"}]\n", `f:1:30: mounts[0].mode: "0888" is not an octal mode; such as "0755" or "1777"`},
		{"size", "limits: {memory: 2Gi}\n", `f:1:18: limits.memory: unknown unit "Gi"; did you mean 2GiB, or 2GB (powers of 1000)?`},
		{"negative size", "limits: {memory: -1}\n", `f:1:18: limits.memory: "-1" is not a size; a size is a number and a unit, such as 512MiB`},
		{"huge size", "limits: {memory: 9999999999TiB}\n", `f:1:18: limits.memory: "9999999999TiB" is too large`},
		{"time without unit", "limits: {wall: 30}\n", `f:1:16: limits.wall: "30" has no unit; such as 30s; units are d, h, m, s, ms`},
		{"no time at all", "limits: {wall: 0s}\n", `f:1:16: limits.wall: "0s" is out of range; a time span is longer than 0`},
		{"pids", "limits: {pids: 0}\n", `f:1:16: limits.pids: 0 is out of range; the range is 1 to 4194303`},
		{"pids in hex", "limits: {pids: 0x10}\n", `f:1:16: limits.pids: 0x10 is a number, a date or a truth value to some readers of YAML; write "0x10" if it is text; a number in plain decimal, true or false`},
		{"no memory", "limits: {memory: 0}\n", `f:1:18: limits.memory: "0" is too little; at least 4KiB`},
		{"cpuset", "limits: {cpuset: 0-}\n", `f:1:18: limits.cpuset: "0-" is not a list of processors; numbers and ranges, such as "0-3,6"`},
		{"cpuset out of range", "limits: {cpuset: 9000}\n", `f:1:18: limits.cpuset: 9000 is out of range; processors have numbers from 0 to 8191`},
		{"weight", "limits: {cpu-weight: 10001}\n", `f:1:22: limits.cpu-weight: 10001 is out of range; the range is 1 to 10000`},
		{"io", "limits: {io: {/dev/sda: rbp=1}}\n", `f:1:25: limits.io./dev/sda: "rbp" is not known here; did you mean "rbps"?`},
		{"io unit", "limits: {io: {/dev/sda: rbps=1Gi}}\n", `f:1:25: limits.io./dev/sda: unknown unit "Gi"; did you mean 1GiB, or 1GB (powers of 1000)?`},
		{"io that stops", "limits: {io: {/dev/sda: wbps=0}}\n", `f:1:25: limits.io./dev/sda: wbps=0 would stop everything; at least 1`},
		{"io twice", "limits: {io: {/dev/sda: wbps=1 wbps=2}}\n", `f:1:25: limits.io./dev/sda: wbps is there twice`},
		{"io operations in a unit", "limits: {io: {/dev/sda: wiops=1k}}\n", `f:1:25: limits.io./dev/sda: "1k" is not a whole number; write it in decimal, without separators`},
		{"io path", "limits: {io: {sda: wiops=1}}\n", `f:1:15: limits.io: "sda" is not absolute; did you mean "./sda"? a path begins with /, ./ or ~/`},
		{"hugetlb", "limits: {hugetlb: {2M: 1}}\n", `f:1:20: limits.hugetlb: unknown unit "M"; did you mean 2MiB, or 2MB (powers of 1000)?`},
		{"hugetlb value", "limits: {hugetlb: {2MiB: lots}}\n", `f:1:26: limits.hugetlb.2MiB: "lots" is not a size; a size is a number and a unit, such as 512MiB`},
		{"cgroup", "limits: {cgroup: atuo}\n", `f:1:18: limits.cgroup: "atuo" is not a cgroup; did you mean "auto"?`},
		{"slice", "limits: {cgroup: a--b.slice}\n", `f:1:18: limits.cgroup: "a--b.slice" is not the name of a slice; such as ci.slice or ci-jobs.slice`},
		{"cpus", "limits: {cpus: 0}\n", `f:1:16: limits.cpus: "0" is not a positive number; such as 2 or 1.5`},
		{"nice", "process: {nice: 20}\n", `f:1:17: process.nice: 20 is out of range; the range is -20 to 19`},
		{"uid", "user: {uid: 4294967295}\n", `f:1:13: user.uid: 4294967295 is out of range; the range is 0 to 4294967294`},
		{"uid as a name", "user: {uid: root}\n", `f:1:13: user.uid: "root" is not an id; a number, or keep`},
		{"rlimit", "limits: {rlimits: {nofiles: 1}}\n", `f:1:20: limits.rlimits: "nofiles" is not an rlimit; did you mean "nofile"?`},
		{"rlimit value", "limits: {rlimits: {nofile: 1k}}\n", `f:1:28: limits.rlimits.nofile: "1k" is not a number; a number, or unlimited`},
		{"namespace", "namespaces: {net: hosts}\n", `f:1:19: namespaces.net: "hosts" is not a namespace; did you mean "host"?`},
		{"namespace path", "namespaces: {net: /run/../x}\n", `f:1:19: namespaces.net: "/run/../x": ".." in a path; write the path that is meant`},
		{"time namespace", "namespaces: {time: {boot: 1h}}\n", `f:1:21: namespaces.time: unknown key "boot"; there is monotonic, boottime`},
		{"capability", "capabilities: {keep: [CAP_SYS_ADMIN]}\n", `f:1:23: capabilities.keep[0]: "CAP_SYS_ADMIN" is not a capability; did you mean "SYS_ADMIN"?`},
		{"system call", "syscalls: {allow: [raed]}\n", `f:1:20: syscalls.allow[0]: "raed" is not a system call; did you mean "read"?`},
		{"group", "syscalls: {deny: [\"@keyrings\"]}\n", `f:1:19: syscalls.deny[0]: "@keyrings" is not a group of system calls; did you mean "@keyring"?`},
		{"action", "syscalls: {default: errno(EPREM)}\n", `f:1:21: syscalls.default: unknown error number "EPREM"; did you mean EPERM?`},
		{"notify", "syscalls: {default: notify}\n", `f:1:21: syscalls.default: "notify" is not supported yet; use allow, errno(NAME), kill or log`},
		{"architecture", "syscalls: {arches: [amd46]}\n", `f:1:21: syscalls.arches[0]: "amd46" is not an architecture; did you mean "amd64"?`},
		{"rule without a call", "syscalls: {rules: [{else: kill}]}\n", `f:1:20: syscalls.rules[0]: a rule names a call; such as {socket: "family == AF_UNIX"}`},
		{"rule for two calls", "syscalls: {rules: [{read: kill, write: kill}]}\n", `f:1:33: syscalls.rules[0]: "write" and "read" in one rule; each call is an item of its own`},
		{"rule's argument", "syscalls:\n  rules:\n    - socket: famly == AF_UNIX\n", `f:3:15: syscalls.rules[0].socket: unknown name "famly"; did you mean family?`},
		{"no path", "mounts: [{bind: \"\"}]\n", `f:1:17: mounts[0].bind: an empty path`},
		{"dot-dot", "mounts: [{bind: ../x}]\n", `f:1:17: mounts[0].bind: "../x": ".." in a path; write the path that is meant`},
		{"dot-dot at the end", "mounts: [{bind: /a/..}]\n", `f:1:17: mounts[0].bind: "/a/..": ".." in a path; write the path that is meant`},
		{"relative", "mounts: [{bind: src}]\n", `f:1:17: mounts[0].bind: "src" is not absolute; did you mean "./src"? a path begins with /, ./ or ~/`},
		{"someone's home", "mounts: [{bind: ~root/x}]\n", `f:1:17: mounts[0].bind: "~root/x": only one's own ~ is known; write the absolute path`},
		{"newline", "mounts: [{bind: \"/a\\nb\"}]\n", `f:1:17: mounts[0].bind: "/a\nb": a control character in a path`},
		{"NUL", "mounts: [{bind: \"/a\\0b\"}]\n", `f:1:17: mounts[0].bind: "/a\x00b": a control character in a path`},
		{"raw NUL", "mounts: [{bind: /a\x00b}]\n", `f:1:19: control character U+0000; write it as an escape in double quotes`},
		{"escape", "name: \"\x1b[2J\"\n", `f:1:8: control character U+001B; write it as an escape in double quotes`},
		{"invalid UTF-8", "name: a\xff\n", `f:1:8: invalid UTF-8`},
		{"mount over all", "mounts: [{tmpfs: /}]\n", `f:1:10: mounts[0]: a mount over the whole tree; use root:`},
		{"two mounts in one", "mounts: [{tmpfs: /a, bind: /b}]\n", `f:1:22: mounts[0]: "bind" and "tmpfs" together; one of them`},
		{"no mount", "mounts: [{target: /a}]\n", `f:1:10: mounts[0]: it does not say what it is; one of bind, tmpfs, empty, proc, dev, mqueue, sysfs, overlay, symlink, dir, file, generate`},
		{"key of another mount", "mounts: [{tmpfs: /a, hidepid: off}]\n", `f:1:22: mounts[0]: unknown key "hidepid"; there is tmpfs, size, mode, noexec, optional`},
		{"symlink without text", "mounts: [{symlink: /a}]\n", `f:1:10: mounts[0]: a symlink needs its text; such as {symlink: /bin, to: usr/bin}`},
		{"generated file", "mounts: [{generate: /etc/shadow}]\n", `f:1:21: mounts[0].generate: "/etc/shadow" is not known here; it is /etc/passwd, /etc/group, /etc/hosts, /etc/hostname, /etc/nsswitch.conf or /etc/resolv.conf`},
		{"mask outside of proc", "mounts: [{proc: /proc, mask: [/sys]}]\n", `f:1:10: mounts[0]: "/sys" is not in /proc`},
		{"root twice", "root: {host: ro, empty: true}\n", `f:1:18: root: "empty" and "host" together; one of them`},
		{"root of nothing", "root: {overlay: tmp}\n", `f:1:7: root: it does not say what it is; one of host, dir, empty`},
		{"writable host", "root: {host: rw}\n", `f:1:14: root.host: "rw" is not known here; did you mean "ro"?`},
		{"pattern", "hide: [.env]\n", `f:1:8: hide[0]: ".env" is not absolute; did you mean "**/.env"? a pattern begins with /, ~/ or **/`},
		{"pattern for all", "hide: [\"**/\"]\n", `f:1:8: hide[0]: "**/" would hide everything; name what follows **/`},
		{"blank behind a pattern", "hide: [\"**/.env \"]\n", `f:1:8: hide[0]: "**/.env ": a blank at the end of a name; leave it out, or write [ ] if it is meant`},
		{"braces", "hide: [\"~/.{aws,ssh}\"]\n", `f:1:8: hide[0]: "~/.{aws,ssh}": braces stand for themselves; write a rule for each, or \{ if a brace is meant`},
		{"POSIX class", "hide: [\"/a/[[:digit:]]\"]\n", `f:1:8: hide[0]: "/a/[[:digit:]]": [[:…:]] is not known; write [0-9]`},
		{"POSIX class behind others", "hide: [\"/a/[^x[=a=]]\"]\n", `f:1:8: hide[0]: "/a/[^x[=a=]]": [[=…=]] is not known; write the characters that are meant, and \[ for a bracket`},
		{"reversed range", "hide: [\"**/b[z-a]\"]\n", `f:1:8: hide[0]: "**/b[z-a]": the range z-a holds nothing; write the lower end first: a-z`},
		{"pattern for all names", "hide: [\"**\"]\n", `f:1:8: hide[0]: "**" would hide everything; name what is hidden: **/NAME, wherever it is`},
		{"home of another", "hide: [\"~bob/.ssh\"]\n", `f:1:8: hide[0]: "~bob/.ssh": only one's own ~ is known; write the absolute path of that home, such as "/home/bob/.ssh"`},
		{"variable", "hide: [\"$HOME/x\"]\n", `f:1:8: hide[0]: "$HOME/x": variables are not expanded; write "~/x"`},
		{"class with !", "hide: [\"/a/[!b]\"]\n", `f:1:8: hide[0]: "/a/[!b]": [!…] is not known; write [^…]`},
		{"open bracket", "hide: [\"/a/[b\"]\n", `f:1:8: hide[0]: "/a/[b" is not a pattern; a [ must be closed, or written \[`},
		{"variable", "env: {keep: [\"A*B\"]}\n", `f:1:14: env.keep[0]: "A*B" is not a variable's name; use a name, or a prefix and *; no other character is a wildcard`},
		{"brackets in a variable", "env: {keep: [\"A_[XY]*\"]}\n", `f:1:14: env.keep[0]: "A_[XY]*" is not a variable's name; use a name, or a prefix and *; no other character is a wildcard`},
		{"tmpfs of half the memory", "mounts: [{tmpfs: /a, size: 0}]\n", `f:1:28: mounts[0].size: "0" is too little; at least 4KiB`},
		{"set-user-ID of a file", "mounts: [{file: /a, mode: \"4755\"}]\n", `f:1:10: mounts[0]: mode "4755": the bits "4000" have no effect on a file; write "0755"`},
		{"set-group-ID of a directory", "mounts: [{dir: /a, mode: \"2775\"}]\n", `f:1:10: mounts[0]: mode "2775": the bits "2000" have no effect on a dir; write "0775"`},
		{"error number 0", "syscalls: {default: errno(0)}\n", `f:1:21: syscalls.default: "errno(0)" does not make the call fail; 0 tells the program that it was done, numbers from 512 make the kernel repeat it; such as errno(EPERM)`},
		{"error number 0 of a rule", "syscalls: {rules: [{read: errno(0)}]}\n", `f:1:27: syscalls.rules[0].read: "errno(0)" does not make the call fail; 0 tells the program that it was done, numbers from 512 make the kernel repeat it; such as errno(EPERM)`},
		{"error number of the kernel", "syscalls: {rules: [{read: fd == 0, else: errno(512)}]}\n", `f:1:42: syscalls.rules[0].else: "errno(512)" does not make the call fail; 0 tells the program that it was done, numbers from 512 make the kernel repeat it; such as errno(EPERM)`},
		{"octal error number", "syscalls: {unknown: errno(010)}\n", `f:1:21: syscalls.unknown: unknown error number "010"`},
		{"limit that Linux has not", "limits: {rlimits: {rss: 1MiB}}\n", `f:1:25: limits.rlimits.rss: Linux has no such limit since 2.4.30; limits.memory, or rlimits: {as: …}`},
		{"limit that is 1s", "limits: {rlimits: {cpu: 0}}\n", `f:1:25: limits.rlimits.cpu: the kernel takes 0 for 1s; at least 1s`},
		{"layer", "missing: [seccomp]\n", `f:1:11: missing[0]: "seccomp" is not known here; it is cgroup, landlock, landlock-rights, time, hide or namespaces`},
		{"endpoint", "network: {allow: [\"a*:1\"]}\n", `f:1:19: network.allow[0]: "a*" has a * that is not its whole first label; such as proxy.example.org:443 or *.example.org:443`},
		{"port", "network: {allow: [\"a:0\"]}\n", `f:1:19: network.allow[0]: "0" is not a port; 1 to 65535, a range such as 8000-8080, or *`},
		{"denied range", "network: {deny: [\"10.0.0.1/8\"]}\n", `f:1:18: network.deny[0]: "10.0.0.1/8" has bits behind its length; the range is 10.0.0.0/8`},
		{"deny only grows", "syscalls: {deny: [{remove: ptrace}]}\n", `f:1:19: syscalls.deny: it only grows: nothing can be removed; do not extend the profile that denies it`},
		{"remove in the wrong place", "env: {keep: [{remove: A}]}\n", `f:1:14: env.keep: remove is a key of the section`},
		{"remove in one place: a section that has its own", "remove: {env: [LANG]}\n", `f:1:10: remove: "env" takes away by itself; write env: {remove: [...]}`},
		{"remove where nothing is", "process: {remove: [nice]}\n", `f:1:11: process: unknown key "remove"; there is workdir, umask, nice, oom-score-adj, init`},
		{"anchor", "name: &a x\n", `f:1:7: anchors and aliases are not allowed; a string that begins with & or * must be quoted: "&a"; to share settings use extends`},
		{"alias", "name: *a\n", `f:1:7: anchors and aliases are not allowed; a string that begins with & or * must be quoted: "*a"; to share settings use extends`},
		{"merge key", "<<: {}\n", `f:1:1: merge keys are not allowed; use extends`},
		{"tag", "name: !!str x\n", `f:1:7: tags are not allowed; a string that begins with ! must be quoted`},
		{"directive", "%YAML 1.2\n---\nname: x\n", `f:1:1: directives are not allowed; a string that begins with % must be quoted`},
		{"complex key", "? a\n: b\n", `f:1:1: a key must be a plain word`},
		{"second document", "name: a\n---\nname: b\n---\nname: c\n", `f:2:1: a second document; a file holds one profile`},
		{"two colons", "about: a: b\n", `f:1:9: a second ':' in one entry; a string that holds ': ' must be quoted`},
		{"forgotten colon", "mounts: [{bind: ./.git mode ro, optional: true}]\n", `f:1:17: mounts[0].bind: a blank or a comma in a value without quotes; write "./.git mode ro" if it belongs to it; otherwise a ':', a bracket or a new line is missing`},
		{"forgotten comma", "mounts: [{bind: ./.git mode: ro}]\n", `f:1:28: a second ':' in one entry; a string that holds ': ' must be quoted; entries are separated by ','`},
		{"forgotten brackets", "hide:\n  - ~/.ssh, ~/.aws\n", `f:2:5: hide[0]: a blank or a comma in a value without quotes; write "~/.ssh, ~/.aws" if it belongs to it; otherwise a ':', a bracket or a new line is missing`},
		{"forgotten dash", "hide:\n  - ~/.ssh\n    ~/.aws\n", `f:2:5: hide[0]: a value of several lines; a ':' or a quote may be missing; otherwise write "~/.ssh ~/.aws"`},
		{"path with a hash", "mounts:\n  - bind: /a #b\n", `f:2:11: mounts[0].bind: a comment directly behind the value; write '# ' with a blank behind it, or quotes around what holds ' #'`},
		{"two variables", "env:\n  keep:\n    - A,B\n", `f:3:7: env.keep[0]: a blank or a comma in a value without quotes; write "A,B" if it belongs to it; otherwise a ':', a bracket or a new line is missing`},
		{"octal mode", "mounts: [{tmpfs: /a, mode: 0755}]\n", `f:1:28: mounts[0].mode: 0755 is a number, a date or a truth value to some readers of YAML; write "0755" if it is text; a number in plain decimal, true or false`},
		{"truth of another version", "env: {set: {A: no}}\n", `f:1:16: env.set.A: no is a number, a date or a truth value to some readers of YAML; write "no" if it is text; a number in plain decimal, true or false`},
		{"group without quotes", "syscalls: {deny: [@keyring]}\n", `f:1:19: not YAML: '@' begins nothing; a string that begins with it must be quoted: "@keyring"`},
		{"tab", "name: a\n\ttty: none\n", `f:2:1: a tab; indent and separate with blanks; in double quotes a tab is \t`},
		{"unclosed", "hide: [a\n", `f:1:7: not YAML: the ']' is missing that closes this`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := Parse("f", []byte(c.in))
			if p != nil || err == nil {
				t.Fatalf("accepted: %+v", p)
			}
			if got := first(err); len(got) != 1 || got[0] != c.want {
				t.Errorf("\n got %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestParseShowsEverythingAtOnce(t *testing.T) {
	_, err := Parse("build.yaml", []byte("version: 1\nmounts:\n  - {bind: .}\n  - {bind: ., mdoe: rw}\ntty: x\n\thostname: \x1b\n"))
	want := "build.yaml:6:12: control character U+001B; write it as an escape in double quotes\n    \\x1b"
	if got := err.Error(); !strings.HasPrefix(got, want[:40]) {
		t.Errorf("got %q", got)
	}
	_, err = Parse("build.yaml", []byte("version: 1\nmounts:\n  - {bind: .}\n  - {bind: ., mdoe: rw}\ntty: \"\\e[2J\"\n"))
	want = `build.yaml:4:15: mounts[1]: unknown key "mdoe"; did you mean "mode"?
      - {bind: ., mdoe: rw}
                  ^
build.yaml:5:6: tty: "\x1b[2J" is not known here; it is none, inherit or broker
    tty: "\e[2J"
         ^`
	if err.Error() != want {
		t.Errorf("got\n%s\nwant\n%s", err, want)
	}
	var one *Error
	if !errors.As(err, &one) || one.Pos != (Pos{File: "build.yaml", Line: 4, Col: 15}) {
		t.Errorf("errors.As: %+v", one)
	}
}

// TestParseIsBounded checks that Parse refuses hostile input quickly, with a position.
func TestParseIsBounded(t *testing.T) {
	r := strings.Repeat
	keys := func(n int) string {
		var b strings.Builder
		for i := range n {
			b.WriteString("k" + r("x", i%7) + string(rune('a'+i%26)) + r("y", i/26) + ": v\n")
		}
		return b.String()
	}
	for name, in := range map[string]string{
		"too large":        r("#", yaml.MaxFile+1),
		"brackets":         r("[", 1<<19),
		"closed brackets":  r("[", 1<<18) + r("]", 1<<18),
		"braces":           r("{a: ", 1<<18),
		"dashes":           r("- ", 1<<19),
		"question marks":   r("? ", 1<<19),
		"colons":           r(": ", 1<<19),
		"keys in one line": r("a: ", 1<<18),
		"keys":             keys(1100),
		"anchors":          r("&a ", 1<<18),
		"aliases":          r("*a ", 1<<18),
		"tags":             r("!a ", 1<<18),
		"documents":        r("---\n", 1<<18),
		"staircase": func() (s string) {
			for i := range 200 {
				s += r(" ", i) + "a:\n"
			}
			return
		}(),
		"items":          "hide: [" + r("a,", 1<<18) + "]",
		"billion laughs": "a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n",
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			if _, err := Parse("f", []byte(in)); err == nil {
				t.Error("accepted")
			} else if len(err.Error()) > 60_000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			if d := time.Since(begin); d > 5*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

func TestParseAcceptsCRLFAndBOM(t *testing.T) {
	p, err := Parse("f", []byte("\xef\xbb\xbfversion: 1\r\nhostname: a\r\n"))
	if err != nil || p.Hostname != "a" || p.Source("hostname").Line != 2 {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestLimitOfErrors(t *testing.T) {
	_, err := Parse("f", bytes.Repeat([]byte("x"), 1))
	if err == nil {
		t.Fatal("accepted")
	}
	var b strings.Builder
	b.WriteString("hide:\n")
	for range 200 {
		b.WriteString("  - x\n")
	}
	_, err = Parse("f", []byte(b.String()))
	if got := len(first(err)); got != maxErrors {
		t.Errorf("%d errors, want %d", got, maxErrors)
	}
}

func TestErrorLines(t *testing.T) {
	long := &Error{Pos: Pos{File: "f", Line: 1, Col: 300}, Msg: "m", Line: strings.Repeat("ä", 400)}
	lines := strings.Split(long.Error(), "\n")
	if len(lines) != 3 || len([]rune(lines[1])) != 4+maxExcerpt || len([]rune(lines[2])) != 4+80 {
		t.Errorf("%q", lines)
	}
	for _, c := range []struct{ in, want string }{
		{"plain ä", "plain ä"}, {"\x1b[1m", `\x1b[1m`}, {"a\u202eb", `a\u202eb`}, {"a\tb", "a b"}, {"\xff", `\ufffd`}, {"a\nb", `a\nb`},
	} {
		if got := printable(c.in); got != c.want {
			t.Errorf("printable(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestDocumentationExample(t *testing.T) {
	data, err := os.ReadFile("../docs/profile.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, part := range strings.Split(string(data), "```yaml\n")[1:] {
		text, _, _ := strings.Cut(part, "```")
		if _, err := Parse("docs/profile.md", []byte(text)); err != nil {
			t.Errorf("%v", err)
		}
		n++
	}
	if n < 2 {
		t.Errorf("%d examples", n)
	}
}

// TestHideAsEmpty checks that a hide rule with `as: empty` shows an empty file or directory in place of each match.
func TestHideAsEmpty(t *testing.T) {
	p, err := Parse("f", []byte("version: 1\nname: f\nhide:\n  - {path: ~/.env, as: empty}\n  - ~/.ssh\n"))
	if err != nil || len(p.Hide) != 2 || !p.Hide[0].Empty || p.Hide[1].Empty || p.Hide[0].Pattern != "~/.env" {
		t.Fatalf("%+v, %v", p, err)
	}
	for text, want := range map[string]string{
		"{path: ~/.env}":                      "as is missing",
		"{as: empty}":                         "path is missing",
		"{path: ~/.env, as: gone}":            "want empty",
		"{path: ~/.env, as: empty, mode: rw}": "unknown key",
		"{path: .env, as: empty}":             "hide[0]",
		"{path: [a], as: empty}":              "hide[0]",
	} {
		if _, err := Parse("f", []byte("version: 1\nname: f\nhide: ["+text+"]\n")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
