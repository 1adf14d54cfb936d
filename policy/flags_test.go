package policy

import (
	"errors"
	"strings"
	"testing"
)

// TestFromFlag checks each flag by the text that Show returns for the resulting profile.
func TestFromFlag(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"rw", ".", "mounts:\n  - {bind: ., mode: rw}"},
		{"rw", "src", "mounts:\n  - {bind: ./src, mode: rw}"},
		{"ro", "/a:/b", "mounts:\n  - {bind: /a, target: /b}"},
		{"ro", "/a:/a", "mounts:\n  - {bind: /a}"},
		{"ro", `/a\:b:/c\:d`, `mounts:` + "\n" + `  - {bind: "/a:b", target: "/c:d"}`},
		{"ro", "~/x", "mounts:\n  - {bind: ~/x}"},
		{"tmpfs", "/tmp", "mounts:\n  - {tmpfs: /tmp}"},
		{"tmpfs", "/tmp:1g", "mounts:\n  - {tmpfs: /tmp, size: 1GiB}"},
		{"tmpfs", "/tmp:1GiB", "mounts:\n  - {tmpfs: /tmp, size: 1GiB}"},
		{"mount", "{overlay: /usr}", "mounts:\n  - {overlay: /usr, upper: tmp}"},
		{"mount", "{bind: /a, optional: true}", "mounts:\n  - {bind: /a, optional: true}"},
		{"hide", "**/.env", "hide:\n  - \"**/.env\""},
		{"root", "host", "root: {host: ro}"},
		{"root", "empty", "root: {empty: true}"},
		{"root", "rootfs", "root: {dir: ./rootfs}"},
		{"hostname", "h", "hostname: h"},
		{"net", "none", "namespaces:\n  net: new\nnetwork: none"},
		{"net", "host", "namespaces:\n  net: host\nnetwork: host"},
		{"net", "/run/netns/x", "namespaces:\n  net: /run/netns/x\nnetwork: none"},
		{"publish", "8080:80", "network:\n  publish:\n    - \"8080:80\""},
		{"net-allow", "a.example:443", "network:\n  allow:\n    - a.example:443"},
		{"ns", "ipc=host", "namespaces:\n  ipc: host"},
		{"ns", "time=new", "namespaces:\n  time: new"},
		{"ns", "time={boottime: 1h}", "namespaces:\n  time: {boottime: 1h}"},
		{"uid", "0", "user:\n  uid: 0"},
		{"gid", "keep", "user:\n  gid: keep"},
		{"host-user", "caller", "user:\n  host: caller"},
		{"ranges", "", "user:\n  ranges: true"},
		{"env", "A=b=c", "env:\n  set:\n    A: b=c"},
		{"env", "A=", "env:\n  set:\n    A: \"\""},
		{"keep-env", "LC_*", "env:\n  keep:\n    - LC_*"},
		{"cap", "NET_RAW", "capabilities:\n  keep:\n    - NET_RAW"},
		{"ambient-cap", "NET_RAW", "capabilities:\n  ambient:\n    - NET_RAW"},
		{"allow-syscall", "@io-event", "syscalls:\n  allow:\n    - \"@io-event\""},
		{"deny-syscall", "ptrace", "syscalls:\n  deny:\n    - ptrace"},
		{"rule", "read: fd == 0", "syscalls:\n  rules:\n    - {read: fd == 0}"},
		{"syscall-default", "kill", "syscalls:\n  default: kill"},
		{"syscall-unknown", "kill", "syscalls:\n  unknown: kill"},
		{"arch", "i386", "syscalls:\n  arches: [i386]"},
		{"landlock", "off", "landlock: off"},
		{"no-landlock", "", "landlock: off"},
		{"landlock-read", "/a/", "landlock:\n  read:\n    - /a"},
		{"landlock-write", "x", "landlock:\n  write:\n    - ./x"},
		{"landlock-execute", "/a", "landlock:\n  execute:\n    - /a"},
		{"landlock-scope", "signal", "landlock:\n  scope: [signal]"},
		{"memory", "2GiB", "limits:\n  memory: 2GiB"},
		{"swap", "0", "limits:\n  swap: 0"},
		{"memory-high", "1GiB", "limits:\n  memory-high: 1GiB"},
		{"oom-group", "", "limits:\n  oom-group: true"},
		{"cpu-weight", "50", "limits:\n  cpu-weight: 50"},
		{"cpuset", "0-3,6", "limits:\n  cpuset: 0-3,6"},
		{"cpuset", "1", "limits:\n  cpuset: \"1\""},
		{"io", "/dev/sda:rbps=10MiB,wiops=200", "limits:\n  io:\n    /dev/sda: rbps=10MiB wiops=200"},
		{"io", ".:wbps=1000 riops=1", "limits:\n  io:\n    .: wbps=1000 riops=1"},
		{"io", `/a\:b:wbps=1KiB`, "limits:\n  io:\n    \"/a:b\": wbps=1KiB"},
		{"io-weight", "10000", "limits:\n  io-weight: 10000"},
		{"hugetlb", "2MiB=64MiB", "limits:\n  hugetlb:\n    2MiB: 64MiB"},
		{"cgroup-parent", "auto", "limits:\n  cgroup: auto"},
		{"cgroup-parent", "/ci//jobs/", "limits:\n  cgroup: /ci/jobs"},
		{"cgroup-parent", "ci-jobs.slice", "limits:\n  cgroup: ci-jobs.slice"},
		{"cpus", "1.5", "limits:\n  cpus: 1.5"},
		{"pids", "9", "limits:\n  pids: 9"},
		{"timeout", "90s", "limits:\n  wall: 1m30s"},
		{"cpu-time", "1h", "limits:\n  cpu-time: 1h"},
		{"output", "1MB", "limits:\n  output: 1MB"},
		{"memory", "4G", "limits:\n  memory: 4GiB"},
		{"memory", "4g", "limits:\n  memory: 4GiB"},
		{"memory", "4Gi", "limits:\n  memory: 4GiB"},
		{"memory", "4gib", "limits:\n  memory: 4GiB"},
		{"memory", "4GB", "limits:\n  memory: 3906250KiB"},
		{"memory", "512M", "limits:\n  memory: 512MiB"},
		{"memory", "100k", "limits:\n  memory: 100KiB"},
		{"memory", "1.5G", "limits:\n  memory: 1536MiB"},
		{"swap", "1g", "limits:\n  swap: 1GiB"},
		{"output", "10M", "limits:\n  output: 10MiB"},
		{"hugetlb", "2M=64M", "limits:\n  hugetlb:\n    2MiB: 64MiB"},
		{"io", "/dev/sda:rbps=10M,wiops=200", "limits:\n  io:\n    /dev/sda: rbps=10MiB wiops=200"},
		{"timeout", "10", "limits:\n  wall: 10s"},
		{"timeout", "2d", "limits:\n  wall: 48h"},
		{"timeout", "1d12h", "limits:\n  wall: 36h"},
		{"cpu-time", "90", "limits:\n  cpu-time: 1m30s"},
		{"cap", "CAP_NET_RAW", "capabilities:\n  keep:\n    - NET_RAW"},
		{"cap", "net_raw", "capabilities:\n  keep:\n    - NET_RAW"},
		{"cap", "cap_net_raw", "capabilities:\n  keep:\n    - NET_RAW"},
		{"ambient-cap", "net_raw", "capabilities:\n  ambient:\n    - NET_RAW"},
		{"cap-add", "CAP_NET_RAW", "capabilities:\n  keep:\n    - NET_RAW"},
		{"cap-drop", "CAP_NET_RAW", "capabilities:\n  remove:\n    - NET_RAW"},
		{"cap-drop", "all", "capabilities:\n  remove:\n    - ALL"},
		{"remove", "capabilities=cap_net_raw", "capabilities:\n  remove:\n    - NET_RAW"},
		{"env", "LANG", "env:\n  keep:\n    - LANG"},
		{"network", "host", "namespaces:\n  net: host\nnetwork: host"},
		{"volume", "/a:/b", "mounts:\n  - {bind: /a, target: /b, mode: rw}"},
		{"volume", "/a:/b:ro", "mounts:\n  - {bind: /a, target: /b}"},
		{"volume", "./a:/a:rw", "mounts:\n  - {bind: ./a, target: /a, mode: rw}"},
		{"volume", "~/a:/a", "mounts:\n  - {bind: ~/a, target: /a, mode: rw}"},
		{"user", "1000", "user:\n  uid: 1000"},
		{"user", "1000:100", "user:\n  uid: 1000\n  gid: 100"},
		{"user", "root", "user:\n  uid: 0"},
		{"pids-limit", "64", "limits:\n  pids: 64"},
		{"cpuset-cpus", "0-1", "limits:\n  cpuset: \"0-1\""},
		{"ulimit", "nofile=64:64", "limits:\n  rlimits:\n    nofile: 64"},
		{"rlimit", "RLIMIT_AS=1G", "limits:\n  rlimits:\n    as: 1GiB"},
		{"setenv", "A=1", "env:\n  set:\n    A: \"1\""},
		{"chdir", "/src", "process:\n  workdir: /src"},
		{"rlimit", "nofile=10", "limits:\n  rlimits:\n    nofile: 10"},
		{"workdir", "/src", "process:\n  workdir: /src"},
		{"umask", "0", "process:\n  umask: \"0000\""},
		{"umask", "22", "process:\n  umask: \"0022\""},
		{"umask", "0o77", "process:\n  umask: \"0077\""},
		{"umask", "027", "process:\n  umask: \"0027\""},
		{"nice", "-5", "process:\n  nice: -5"},
		{"oom-score-adj", "100", "process:\n  oom-score-adj: 100"},
		{"init", "none", "process:\n  init: none"},
		{"as-pid-1", "", "process:\n  init: none"},
		{"mount", "type=bind,src=/a,dst=/b,readonly", "mounts:\n  - {bind: /a, target: /b}"},
		{"mount", "type=bind,source=/a,target=/b", "mounts:\n  - {bind: /a, target: /b, mode: rw}"},
		{"mount", "type=tmpfs,target=/b,tmpfs-size=1m,tmpfs-mode=0700", "mounts:\n  - {tmpfs: /b, size: 1MiB, mode: \"0700\"}"},
		{"tmpfs", "/b:rw,size=1m,mode=1777", "mounts:\n  - {tmpfs: /b, size: 1MiB, mode: \"1777\"}"},
		{"share-net", "", "namespaces:\n  net: host\nnetwork: host"},
		{"setenv", "A=B", "env:\n  set:\n    A: B"},
		{"tty", "inherit", "tty: inherit"},
		{"on-denial", "report", "on-denial: report"},
		{"exec", "once", "syscalls:\n  exec: once"},
		{"missing", "cgroup", "missing:\n  - cgroup"},
		{"remove", "mounts=/tmp/", "mounts:\n  - {remove: /tmp}"},
		{"remove", "env=LANG", "env:\n  remove:\n    - LANG"},
		{"remove", "syscalls=read: fd == 0", "syscalls:\n  remove:\n    - {read: fd == 0}"},
	} {
		t.Run(c.name+" "+c.value, func(t *testing.T) {
			p := &Profile{}
			if err := FromFlag(p, c.name, c.value); err != nil {
				t.Fatal(err)
			}
			spelt := strings.TrimSpace("--" + c.name + " " + c.value)
			shown := string(Show(p))
			if got := strings.ReplaceAll(shown, " # "+spelt, ""); got != c.want+"\n" || got == shown {
				t.Errorf("got\n%s\nwant\n%s", shown, c.want)
			}
		})
	}
}

func TestFlagPlace(t *testing.T) {
	p := &Profile{}
	if err := FromFlag(p, "hostname", "h"); err != nil {
		t.Fatal(err)
	}
	if at := p.Source("hostname"); at != (Pos{File: "command line", Flag: "--hostname h"}) {
		t.Errorf("%+v", at)
	}
	base := parse(t, "f", "root: {dir: /a}\nhostname: x\n")
	if err := FromFlag(p, "overlay", "tmp"); err != nil {
		t.Fatal(err)
	}
	want := "root: {dir: /a, overlay: tmp} # f:1\nhostname: h # --hostname h\n"
	if got := string(Show(Merge(base, p))); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for _, f := range []struct{ name, value string }{{"root", "/r"}, {"root-mode", "rw"}, {"overlay", "none"}, {"enter", "chroot"}} {
		if err := FromFlag(p, f.name, f.value); err != nil {
			t.Fatal(err)
		}
	}
	if got := Merge(base, p).Root; got != (Root{Kind: RootDir, Dir: "/r", Write: true, Enter: EnterChroot}) {
		t.Errorf("%+v", got)
	}
}

func TestFlagErrors(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"hosntame", "x", `unknown flag --hosntame; did you mean "hostname"?`},
		{"rw", "../x", `--rw ../x: "../x": ".." in a path; write the path that is meant`},
		{"rw", "", `--rw : an empty path`},
		{"rw", "/a:", `--rw /a:: an empty path`},
		{"ro", "/x:/", `--ro /x:/: a mount over the whole tree; use root:`},
		{"mount", "/a", `--mount /a: want a mapping; for example {bind: /src, target: /dst}`},
		{"mount", "{bnd: /a}", `--mount {bnd: /a}: unknown key "bnd"; did you mean "bind"?`},
		{"mount", "{bind: /a", `--mount {bind: /a: not YAML: the '}' is missing that closes this`},
		{"net", "hots", `--net hots: "hots" is not a network; did you mean "host"?`},
		{"ns", "nets=new", `--ns nets=new: "nets" is not a namespace; use KIND=new, KIND=host or KIND=PATH; kinds are user, mount, pid, ipc, uts, cgroup, net, time`},
		{"env", "=x", `--env =x: "" is not a variable's name`},
		{"env", "A|B", `--env A|B: "A|B" is not a variable's name; use a name, or a prefix and *; no other character is a wildcard`},
		{"memory", "4gb", `--memory 4gb: unknown unit "gb"; did you mean 4GiB, or 4GB (powers of 1000)?`},
		{"memory", "4 GiB", `--memory 4 GiB: "4 GiB" is not a size; a size is a number and a unit, such as 512MiB`},
		{"umask", "8", `--umask 8: "8" is not an octal mode; such as "0755" or "1777"`},
		{"timeout", "0", `--timeout 0: "0" is not a time span; such as 90s, 30m or 1h30m`},
		{"timeout", "10x", `--timeout 10x: "10x" is not a time span; such as 90s, 30m or 1h30m`},
		{"cap-add", "all", `--cap-add all: "ALL" is not a capability; name each of them: there is no word for all`},
		{"cap-drop", "NETRAW", `--cap-drop NETRAW: "NETRAW" is not a capability; did you mean "NET_RAW"?`},
		{"network", "bridge", `--network bridge: "bridge" is not a network; none is a loopback alone, host is the host's; ` +
			`--net-allow HOST:PORT gives a network from which only HOST can be reached`},
		{"volume", "data:/data", `--volume data:/data: "data" is not a path: there are no named volumes; such as ./data:/data`},
		{"volume", "/data", `--volume /data: "/data" names no source; --volume SOURCE:TARGET; --tmpfs /data is an empty directory`},
		{"volume", "/a:/b:Z", `--volume /a:/b:Z: "Z" is no option of a bind; ro and rw are; --mount '{bind: …, noexec: true}' says all else`},
		{"user", "www", "--user www: \"www\" is not an id; a number: names are looked up on the host by `id -u www`"},
		{"ulimit", "nofile=64:128", `--ulimit nofile=64:128: "64:128": the soft and the hard limit are equal here; such as nofile=128`},
		{"rule", "read", `--rule read: "read" is not a rule; such as "socket: family == AF_UNIX"`},
		{"rlimit", "nofile", `--rlimit nofile: "nofile" has no value; NAME=VALUE`},
		{"rlimit", "nofile=x", `--rlimit nofile=x: "x" is not a number; a number, or unlimited`},
		{"memory", "4095", `--memory 4095: "4095" is too little; at least 4KiB`},
		{"memory-high", "0", `--memory-high 0: "0" is too little; at least 4KiB`},
		{"cpu-weight", "0", `--cpu-weight 0: 0 is out of range; the range is 1 to 10000`},
		{"cpuset", "3-1", `--cpuset 3-1: "3-1" is backwards`},
		{"io", "/dev/sda", `--io /dev/sda: "/dev/sda" has no limits; such as /dev/sda:rbps=10MiB,wiops=200`},
		{"io", "/dev/sda:", `--io /dev/sda:: no limit; such as rbps=10MiB`},
		{"hugetlb", "2MiB", `--hugetlb 2MiB: "2MiB" has no limit; such as 2MiB=64MiB`},
		{"hugetlb", "3MiB=1", `--hugetlb 3MiB=1: "3MiB" is not the size of a page; such as 2MiB or 1GiB`},
		{"cgroup-parent", "../x", `--cgroup-parent ../x: "../x" is not a cgroup; it is auto, systemd, a slice such as ci.slice, or a path such as /ci`},
		{"landlock", "on", `--landlock on: "on" is not known here; it is off`},
		{"remove", "hide=/a", `--remove hide=/a: "hide=/a" is not SECTION=VALUE; sections are mounts, env, capabilities, syscalls, landlock, limits, cache, missing`},
		{"hostname", "\x1b[2J", `--hostname \x1b[2J: "\x1b[2J" is not a host name; letters, digits, '.', '_' and '-'`},
	} {
		err := FromFlag(&Profile{}, c.name, c.value)
		var e *Error
		if !errors.As(err, &e) || e.Error() != c.want {
			t.Errorf("--%s %s:\n got %v\nwant %s", c.name, c.value, err, c.want)
		}
	}
}
