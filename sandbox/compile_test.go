package sandbox

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/sandboxtest"
)

// describe returns every part of an error, with its type, each on a line.
func describe(err error) string {
	var unsupported *UnsupportedError
	var lookup *LookupError
	var other *Error
	switch {
	case err == nil:
		return "none"
	case errors.As(err, &unsupported):
		return fmt.Sprintf("unsupported %s: %s\nfrom: %s\nremedy: %s", unsupported.Layer, unsupported.Why, unsupported.From, unsupported.Remedy)
	case errors.As(err, &lookup):
		return fmt.Sprintf("lookup %d: %s\nhint: %s", lookup.Code, lookup.Error(), lookup.Hint)
	case errors.As(err, &other):
		return fmt.Sprintf("error: %s: %v\nfrom: %s\nhint: %s", other.Op, other.Err, other.From, other.Hint)
	}
	return fmt.Sprintf("%T: %v", err, err)
}

// TestCompileErrors checks the whole text of the errors for commands that cannot be compiled, so that nothing is run.
func TestCompileErrors(t *testing.T) {
	tests := []struct {
		name string
		p    *policy.Profile
		host *host.Host // nil is FakeUser
		args string
		want string
	}{
		{"no command", sandboxtest.HostRoot(), nil, "",
			"error: command: none given\nfrom: \nhint: cordon run -- CMD [ARG…]"},
		{"memory", sandboxtest.With(func(p *policy.Profile) {
			p.Limits.Memory = policy.Opt[int64]{Set: true, V: 1 << 30}
			p.Sources = sandboxtest.Sourced("limits.memory")
		}), nil, "true",
			"unsupported cgroup: limits.memory: cordon cannot read the cgroups: open /proc/self/mountinfo: no such file or directory\nfrom: p.yaml:1\n" +
				"remedy: mount -t proc proc /proc; or list cgroup under missing (--missing cgroup)"},
		{"no cgroup tree", sandboxtest.Limited(), func() *host.Host {
			h := sandboxtest.TableHost("20 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
			h.Files.(sandboxtest.FakeFiles).Put("/proc/self/cgroup", sandboxtest.FakeFile{})
			return h
		}(), "true",
			"unsupported cgroup: limits.memory: no cgroup file system is mounted\nfrom: p.yaml:1\n" +
				"remedy: mount -t cgroup2 none /sys/fs/cgroup; or list cgroup under missing (--missing cgroup)"},
		{"no delegation", sandboxtest.Limited(), sandboxtest.CgroupHost(sandboxtest.FakeUser(), "0::/user.slice/session-1.scope\n", 2), "true",
			"unsupported cgroup: limits.memory: /sys/fs/cgroup/user.slice/session-1.scope is not writable: it is not delegated to this user\nfrom: p.yaml:1\n" +
				"remedy: let root make a group and give it to this user: cgroups(7), \"Cgroups v2 delegation\"; then start cordon in it, and name a group that this user owns: " +
				"limits.cgroup (--cgroup-parent); or list cgroup under missing (--missing cgroup)"},
		{"v1 as a user", sandboxtest.Limited(), sandboxtest.CgroupHost(sandboxtest.FakeUser(), "2:memory:/a\n", 1), "true",
			"unsupported cgroup: limits.memory: /sys/fs/cgroup/memory/a is not writable: cgroup v1 is not delegated to users\nfrom: p.yaml:1\n" +
				"remedy: start cordon as root, or boot with systemd.unified_cgroup_hierarchy=1, or cgroup_no_v1=all; or list cgroup under missing (--missing cgroup)"},
		{"a limit that v1 does not have", sandboxtest.Limited(func(p *policy.Profile) { p.Limits.OOMGroup = true }), sandboxtest.CgroupHost(sandboxtest.FakeRoot(), "2:memory:/a\n", 1), "true",
			"unsupported cgroup: limits.oom-group: cgroup v1 has nothing like it\nfrom: \n" +
				"remedy: boot with systemd.unified_cgroup_hierarchy=1, or cgroup_no_v1=all; or list cgroup under missing (--missing cgroup)"},
		{"a group that is not there", sandboxtest.Limited(func(p *policy.Profile) { p.Limits.Cgroup = "/none" }), sandboxtest.CgroupHost(sandboxtest.FakeRoot(), "0::/\n", 2), "true",
			"error: limits.cgroup: /sys/fs/cgroup/none: there is no such cgroup\nfrom: \n" +
				"hint: name one that exists: limits.cgroup (--cgroup-parent), or make it with mkdir /sys/fs/cgroup/none"},
		{"systemd that does not run", sandboxtest.Limited(func(p *policy.Profile) { p.Limits.Cgroup = "ci.slice" }), sandboxtest.CgroupHost(sandboxtest.FakeRoot(), "0::/\n", 2), "true",
			"unsupported cgroup: limits.memory: systemd does not run here\nfrom: p.yaml:1\n" +
				"remedy: leave limits.cgroup (--cgroup-parent) out, or name a path in the cgroup tree; or list cgroup under missing (--missing cgroup)"},
		{"being born on 5.6", sandboxtest.Limited(), func() *host.Host {
			h := sandboxtest.CgroupHost(sandboxtest.FakeRoot(), "0::/\n", 2)
			h.Kernel = [2]int{5, 6}
			return h
		}(), "true",
			"unsupported cgroup: limits.memory: starting a process in a cgroup needs Linux 5.7\nfrom: p.yaml:1\nremedy: upgrade the kernel; or list cgroup under missing (--missing cgroup)"},
		{"io of no disk", sandboxtest.Limited(func(p *policy.Profile) { p.Limits.IO = []policy.IOMax{{Path: "/tmp", Reads: 1}} }), sandboxtest.CgroupHost(sandboxtest.FakeRoot(), "0::/\n", 2), "true",
			"error: limits.io /tmp: it is on no disk\nfrom: \nhint: name a disk, or a file on one"},
		{"io of a character device", sandboxtest.Limited(func(p *policy.Profile) { p.Limits.IO = []policy.IOMax{{Path: "/dev/null", Reads: 1}} }), sandboxtest.CgroupHost(sandboxtest.FakeRoot(), "0::/\n", 2), "true",
			"error: limits.io /dev/null: a character device, not a disk\nfrom: \nhint: name a disk, or a file on one"},
		{"io of nothing", sandboxtest.Limited(func(p *policy.Profile) { p.Limits.IO = []policy.IOMax{{Path: "/dev/sdz", Reads: 1}} }), sandboxtest.CgroupHost(sandboxtest.FakeRoot(), "0::/\n", 2), "true",
			"error: limits.io /dev/sdz: no such file or directory\nfrom: \nhint: name a disk, or a file on one"},
		{"datagrams", sandboxtest.With(func(p *policy.Profile) {
			p.Network.Mode = policy.NetworkAllow
			p.Network.Allow = []policy.NetworkItem{{Endpoint: ":123/udp", Pos: policy.Pos{File: "p.yaml", Line: 1}}}
		}), nil, "true",
			"unsupported net: network.allow: \":123/udp\": cordon relays connections of TCP, and no datagrams but questions for names\nfrom: p.yaml:1\n" +
				"remedy: leave the rule out; a program that prefers UDP mostly does without, as HTTP/3 does"},

		{"mount namespace of the host", sandboxtest.With(func(p *policy.Profile) {
			p.Namespaces.Mount.Mode = policy.NSHost
			p.Sources = sandboxtest.Sourced("namespaces.mount")
		}), nil, "true",
			"error: namespaces.mount: a root and mounts need a new mount namespace\nfrom: p.yaml:1\nhint: leave out namespaces.mount, whose default is new"},
		{"join as a user", sandboxtest.With(func(p *policy.Profile) {
			p.Namespaces.Net = policy.Namespace{Mode: policy.NSJoin, Path: "/run/netns/x"}
			p.Sources = sandboxtest.Sourced("namespaces.net")
		}), nil, "true",
			"unsupported net: namespaces.net: joining /run/netns/x needs CAP_SYS_ADMIN over it\nfrom: p.yaml:1\nremedy: also join the user namespace that owns it (namespaces: {user: /proc/PID/ns/user}), or run as root"},
		{"join a user namespace", sandboxtest.With(func(p *policy.Profile) {
			p.Namespaces.User = policy.Namespace{Mode: policy.NSJoin, Path: "/proc/1/ns/user"}
			p.Sources = sandboxtest.Sourced("namespaces.user")
		}), sandboxtest.FakeRoot(), "true",
			"error: namespaces.user /proc/1/ns/user: the path does not show which ids it maps\nfrom: p.yaml:1\nhint: name user.uid, a number inside that it maps"},
		{"join a user namespace without the caller's id", sandboxtest.With(func(p *policy.Profile) {
			p.Namespaces.User = policy.Namespace{Mode: policy.NSJoin, Path: "/proc/77/ns/user"}
			p.Sources = sandboxtest.Sourced("namespaces.user")
		}), sandboxtest.JoinHost(sandboxtest.FakeUser(), "0 100000 65536"), "true",
			"error: namespaces.user /proc/77/ns/user: the caller's id, 1000, is not mapped in it\nfrom: p.yaml:1\nhint: name user.uid, a number inside that it maps: 0 to 65535"},
		{"join a user namespace without that id", sandboxtest.With(func(p *policy.Profile) {
			p.Namespaces.User = policy.Namespace{Mode: policy.NSJoin, Path: "/proc/77/ns/user"}
			p.User = ids(5)
			p.Sources = sandboxtest.Sourced("namespaces.user")
		}), sandboxtest.JoinHost(sandboxtest.FakeUser(), "0 1000 1\n7 100000 1"), "true",
			"error: namespaces.user /proc/77/ns/user: user.uid 5 is not mapped in it\nfrom: p.yaml:1\nhint: name user.uid, a number inside that it maps: 0, 7"},
		{"join as somebody else", sandboxtest.With(func(p *policy.Profile) {
			p.Namespaces.User = policy.Namespace{Mode: policy.NSJoin, Path: "/proc/77/ns/user"}
			p.User = ids(5)
			p.Sources = sandboxtest.Sourced("user.uid")
		}), sandboxtest.JoinHost(sandboxtest.FakeUser(), "0 1000 1\n1 100000 65536"), "true",
			"error: user.uid: in a joined user namespace, an ordinary user's task keeps the user's id, because cordon could not verify another one\nfrom: p.yaml:1\n" +
				"hint: keep, which is 0 in /proc/77/ns/user; or run as root"},
		{"join as root and stay root", sandboxtest.With(func(p *policy.Profile) {
			p.Namespaces.User = policy.Namespace{Mode: policy.NSJoin, Path: "/proc/77/ns/user"}
			p.Sources = sandboxtest.Sourced("namespaces.user")
		}), sandboxtest.JoinHost(sandboxtest.FakeRoot(), "0 0 1"), "true",
			"error: namespaces.user /proc/77/ns/user: the task would be root on the host\nfrom: p.yaml:1\n" +
				"hint: set user.uid and user.gid to ids that are not root on the host; or if you want that, use user: {host: caller} or --host-user caller"},
		{"join a mount namespace by a path that shows no tree", sandboxtest.With(func(p *policy.Profile) {
			p.Namespaces.Mount = policy.Namespace{Mode: policy.NSJoin, Path: "/run/mnt"}
			p.Sources = sandboxtest.Sourced("namespaces.mount")
		}), sandboxtest.FakeRoot(), "true",
			"unsupported mount: namespaces.mount: the tree of /run/mnt cannot be examined before the child joins it\nfrom: p.yaml:1\nremedy: name a process that is in it: /proc/PID/ns/mnt"},
		{"join a mount namespace of a process that is gone", sandboxtest.With(func(p *policy.Profile) {
			p.Namespaces.Mount = policy.Namespace{Mode: policy.NSJoin, Path: "/proc/78/ns/mnt"}
			p.User.Host = policy.HostCaller
			p.Sources = sandboxtest.Sourced("namespaces.mount")
		}), sandboxtest.FakeRoot(), "true",
			"error: namespaces.mount: /proc/78/root: no such file or directory\nfrom: p.yaml:1\nhint: the process is gone, or belongs to somebody else"},
		{"join a mount namespace alone", sandboxtest.With(func(p *policy.Profile) {
			p.Namespaces.Mount = policy.Namespace{Mode: policy.NSJoin, Path: "/proc/77/ns/mnt"}
			p.Sources = sandboxtest.Sourced("namespaces.mount")
		}), sandboxtest.JoinHost(sandboxtest.FakeRoot(), "0 0 1"), "true",
			"unsupported mount: namespaces.mount: a mount of another mount namespace cannot be idmapped\nfrom: p.yaml:1\n" +
				"remedy: also join the user namespace that owns it, or keep your own id with user: {host: caller} or --host-user caller"},
		{"join a time namespace", sandboxtest.With(func(p *policy.Profile) {
			p.Namespaces.Time.Path = "/proc/1/ns/time"
			p.Sources = sandboxtest.Sourced("namespaces.time")
		}), nil, "true",
			"unsupported time: namespaces.time: joining /proc/1/ns/time needs CAP_SYS_ADMIN over it\nfrom: p.yaml:1\nremedy: also join the user namespace that owns it (namespaces: {user: /proc/PID/ns/user}), or run as root"},
		{"time namespace on 5.5", sandboxtest.With(func(p *policy.Profile) {
			p.Namespaces.Time = policy.TimeNamespace{New: true, Boottime: time.Hour}
			p.Sources = sandboxtest.Sourced("namespaces.time")
		}), sandboxtest.OnHost(func(h *host.Host) { h.Kernel = [2]int{5, 5} }), "true",
			"unsupported time: time namespaces need Linux 5.6\nfrom: p.yaml:1\nremedy: upgrade the kernel"},

		{"host user namespace as a user", sandboxtest.With(func(p *policy.Profile) {
			p.Namespaces.User.Mode = policy.NSHost
			p.Sources = sandboxtest.Sourced("namespaces.user")
		}), nil, "true",
			"unsupported userns: namespaces.user: host: without a user namespace the other namespaces need CAP_SYS_ADMIN\nfrom: p.yaml:1\nremedy: leave out namespaces.user, whose default is new; or run as root"},
		{"root on the host", sandboxtest.With(func(p *policy.Profile) {
			p.Namespaces.User.Mode = policy.NSHost
			p.Sources = sandboxtest.Sourced("namespaces.user")
		}), sandboxtest.FakeRoot(), "true",
			"error: namespaces.user: host: the task would be root on the host, or in root's group\nfrom: p.yaml:1\n" +
				"hint: set user.uid and user.gid to other ids than 0; or " + compile.CallerHint},
		{"root's group on the host", sandboxtest.With(func(p *policy.Profile) {
			p.Namespaces.User.Mode, p.User.UID = policy.NSHost, policy.Opt[uint32]{V: 1000, Set: true}
			p.Sources = sandboxtest.Sourced("namespaces.user")
		}), sandboxtest.FakeRoot(), "true",
			"error: namespaces.user: host: the task would be root on the host, or in root's group\nfrom: p.yaml:1\n" +
				"hint: set user.uid and user.gid to other ids than 0; or " + compile.CallerHint},
		{"ranges without a user namespace", sandboxtest.With(func(p *policy.Profile) {
			p.Namespaces.User.Mode, p.User.Host, p.User.Ranges = policy.NSHost, policy.HostCaller, true
			p.Sources = sandboxtest.Sourced("user.ranges")
		}), sandboxtest.FakeRoot(), "true",
			"error: user.ranges: id ranges need a user namespace\nfrom: p.yaml:1\nhint: "},

		{"missing root directory", sandboxtest.With(func(p *policy.Profile) {
			p.Root = policy.Root{Kind: policy.RootDir, Dir: "/srv/none"}
			p.Sources = sandboxtest.Sourced("root.dir")
		}), nil, "true",
			"error: root.dir /srv/none: no such file or directory\nfrom: p.yaml:1\nhint: name a directory that holds a root file system"},
		{"root directory is a file", sandboxtest.With(func(p *policy.Profile) {
			p.Root = policy.Root{Kind: policy.RootDir, Dir: "/etc/passwd"}
			p.Sources = sandboxtest.Sourced("root.dir")
		}), nil, "true",
			"error: root.dir /etc/passwd: not a directory\nfrom: p.yaml:1\nhint: name a directory that holds a root file system"},
		{"no such program in the root directory", sandboxtest.With(func(p *policy.Profile) { p.Root = policy.Root{Kind: policy.RootDir, Dir: "/srv/rootfs"} }), nil, "/usr/bin/nothing",
			"lookup 127: /usr/bin/nothing: no such file in the root directory\nhint: "},
		{"an overlay over a host without a table of mounts", sandboxtest.With(func(p *policy.Profile) { p.Root.Overlay = "tmp"; p.Sources = sandboxtest.Sourced("root") }), nil, "true",
			"error: root: overlay: open /proc/self/mountinfo: no such file or directory\nfrom: p.yaml:1\nhint: "},
		{"an overlay over nothing", sandboxtest.With(func(p *policy.Profile) { p.Root.Overlay = "tmp"; p.Sources = sandboxtest.Sourced("root") }), sandboxtest.TableHost("20 1 0:2 / /x rw - ext4 x rw\n"), "true",
			"error: root: overlay: every directory of the host that the task may write has something mounted in it\nfrom: p.yaml:1\n" +
				"hint: overlay single directories: mounts: [{overlay: /dir, lower: /dir, upper: tmp}]"},

		{"missing source", sandboxtest.Mounted(policy.Mount{Kind: policy.MountBind, Source: "/opt/none"}), nil, "true",
			"error: mounts[0]: bind: /opt/none: no such file or directory\nfrom: p.yaml:10\nhint: "},
		{"source is a symbolic link", sandboxtest.Mounted(policy.Mount{Kind: policy.MountBind, Source: "/usr/bin/python3"}), nil, "true",
			"error: mounts[0]: bind: /usr/bin/python3: is behind a symbolic link that a task may have made\nfrom: p.yaml:10\n" +
				"hint: if you want that, bind the link's target: /usr/bin/python3.13"},
		{"missing target", sandboxtest.Mounted(policy.Mount{Kind: policy.MountTmpfs, Target: "/sys/none"}), nil, "true",
			"error: mounts[0]: tmpfs: target /sys/none does not exist, and cordon never makes anything on the host's tree\nfrom: p.yaml:10\nhint: name a target that exists, put a tmpfs above it, or begin with root: {empty: true}"},
		{"bind on the root", sandboxtest.Mounted(policy.Mount{Kind: policy.MountBind, Source: "/srv", Target: "/"}), nil, "true",
			"error: mounts[0]: bind: the root cannot be a bind's target; use root: {dir: /srv}\nfrom: p.yaml:10\nhint: "},
		{"directory on a file", sandboxtest.Mounted(policy.Mount{Kind: policy.MountBind, Source: "/srv", Target: "/etc/passwd"}), nil, "true",
			"error: mounts[0]: bind: /etc/passwd is a file inside, the source is a directory\nfrom: p.yaml:10\nhint: "},
		{"file on a directory", sandboxtest.Mounted(policy.Mount{Kind: policy.MountBind, Source: "/etc/passwd", Target: "/srv"}), nil, "true",
			"error: mounts[0]: bind: /srv is a directory inside, the source is a file\nfrom: p.yaml:10\nhint: "},
		{"home without a home", sandboxtest.Mounted(policy.Mount{Kind: policy.MountBind, Source: "~/src"}), sandboxtest.OnHost(func(h *host.Host) { h.Home = "" }), "true",
			"error: mounts[0]: bind: ~/src: no home: HOME is not set, not absolute, or /, and the password database has none\nfrom: p.yaml:10\nhint: "},
		{"directory where nothing is made", sandboxtest.Mounted(policy.Mount{Kind: policy.MountDir, Target: "/sys/none"}), nil, "true",
			"error: mounts[0]: dir: target /sys/none does not exist, and cordon never makes anything on the host's tree\nfrom: p.yaml:10\nhint: name a target that exists, put a tmpfs above it, or begin with root: {empty: true}"},
		{"unknown file to generate", sandboxtest.Mounted(policy.Mount{Kind: policy.MountGenerate, Target: "/etc/shadow"}), nil, "true",
			"error: mounts[0]: generate: generate knows passwd, group, hosts, hostname, nsswitch.conf and resolv.conf, not shadow\nfrom: p.yaml:10\nhint: "},
		{"proc of the host's processes", sandboxtest.With(func(p *policy.Profile) {
			p.Namespaces.PID.Mode = policy.NSHost
			p.Mounts = []policy.Mount{{Kind: policy.MountProc, Target: "/proc", Pos: sandboxtest.Pos(3)}}
		}), nil, "true",
			"none"}, // the caller's /proc is bound
		{"sysfs of the host's network", sandboxtest.With(func(p *policy.Profile) {
			p.Network.Mode = policy.NetworkHost
			p.Mounts = []policy.Mount{{Kind: policy.MountSysfs, Target: "/sys", Pos: sandboxtest.Pos(3)}}
		}), nil, "true",
			"unsupported mount: sysfs shows devices of the network namespace and needs one of the sandbox's own\nfrom: p.yaml:3\nremedy: network: none, or bind /sys read-only"},
		{"device that is none", sandboxtest.Mounted(policy.Mount{Kind: policy.MountDev, Target: "/dev"}), sandboxtest.OnHost(func(h *host.Host) { h.Files.(sandboxtest.FakeFiles).File("/dev/null") }), "true",
			"unsupported mount: /dev/null is not the device that it should be: the nodes of a sandbox's /dev are the host's\nfrom: p.yaml:10\nremedy: mount -t devtmpfs dev /dev, or bind the host's /dev into this root"},
		{"device that is another", sandboxtest.Mounted(policy.Mount{Kind: policy.MountDev, Target: "/dev"}), sandboxtest.OnHost(func(h *host.Host) {
			t := h.Files.(sandboxtest.FakeFiles)
			t["/dev/zero"] = t["/dev/null"]
		}), "true",
			"unsupported mount: /dev/zero is not the device that it should be: the nodes of a sandbox's /dev are the host's\nfrom: p.yaml:10\nremedy: mount -t devtmpfs dev /dev, or bind the host's /dev into this root"},
		{"overlay directory missing", sandboxtest.Mounted(policy.Mount{Kind: policy.MountOverlay, Source: "/srv", Target: "/srv", Upper: "/var/none"}), nil, "true",
			"error: mounts[0]: overlay: overlay directory /var/none: no such file or directory\nfrom: p.yaml:10\nhint: make it, or name one that exists"},
		{"loop of links in a target", sandboxtest.Mounted(policy.Mount{Kind: policy.MountTmpfs, Target: "/loop/x"}), sandboxtest.OnHost(func(h *host.Host) { h.Files.(sandboxtest.FakeFiles).Link("/loop", "loop") }), "true",
			"error: mounts[0]: tmpfs: resolve /loop/x: too many symbolic links\nfrom: p.yaml:10\nhint: "},

		{"optional: missing source", sandboxtest.Mounted(policy.Mount{Kind: policy.MountBind, Source: "/opt/none", Optional: true}), nil, "true", "none"},
		{"optional: missing target", sandboxtest.Mounted(policy.Mount{Kind: policy.MountTmpfs, Target: "/opt/none", Optional: true}), nil, "true", "none"},
		{"optional: no home", sandboxtest.Mounted(policy.Mount{Kind: policy.MountTmpfs, Target: "~", Optional: true}), sandboxtest.OnHost(func(h *host.Host) { h.Home = "" }), "true", "none"},
		// Whatever else is wrong, the launch must fail: without the optional mount, what it is meant to cover would be
		// visible.
		{"optional: a file in the place of the directory", sandboxtest.Mounted(policy.Mount{Kind: policy.MountTmpfs, Target: "/etc/passwd", Optional: true}), nil, "true",
			"error: mounts[0]: tmpfs: /etc/passwd is a file inside, the source is a directory\nfrom: p.yaml:10\nhint: "},
		{"optional: a loop of links", sandboxtest.Mounted(policy.Mount{Kind: policy.MountTmpfs, Target: "/loop/x", Optional: true}), sandboxtest.OnHost(func(h *host.Host) { h.Files.(sandboxtest.FakeFiles).Link("/loop", "loop") }), "true",
			"error: mounts[0]: tmpfs: resolve /loop/x: too many symbolic links\nfrom: p.yaml:10\nhint: "},

		{"hide the root", sandboxtest.With(func(p *policy.Profile) { p.Hide = []policy.Hide{{Pattern: "/", Pos: sandboxtest.Pos(7)}} }), nil, "true",
			"error: hide[0] /: the root cannot be hidden\nfrom: p.yaml:7\nhint: "},
		{"hidden program", sandboxtest.With(func(p *policy.Profile) { p.Hide = []policy.Hide{{Pattern: "/usr/bin/true", Pos: sandboxtest.Pos(7)}} }), nil, "true",
			"lookup 126: true: hidden by p.yaml:7\nhint: the profile hides it on purpose; use another profile to run it"},

		{"no Landlock", sandboxtest.HostRoot(), sandboxtest.OnHost(func(h *host.Host) { h.LandlockABI = 0 }), "true",
			"unsupported landlock: this kernel has no Landlock, or it is not enabled\nfrom: \nremedy: Linux 5.13 with landlock in the lsm= boot parameter; " +
				"or list landlock under missing (--missing landlock)"},
		{"no scopes", sandboxtest.HostRoot(), sandboxtest.OnHost(func(h *host.Host) { h.LandlockABI = 5 }), "true",
			"unsupported landlock: ABI 5 cannot restrict signals and abstract sockets\nfrom: \nremedy: Linux 6.12; or list landlock-rights under missing " +
				"(--missing landlock-rights): the pid namespace and the network namespace restrict the same"},
		{"an ABI without every right", sandboxtest.With(func(p *policy.Profile) {
			p.Landlock.Scope = policy.Opt[[]string]{Set: true}
			p.Sources = sandboxtest.Sourced("landlock")
		}), sandboxtest.OnHost(func(h *host.Host) { h.LandlockABI = 2 }), "true",
			"unsupported landlock: ABI 2 cannot restrict truncate and ioctl on devices\nfrom: p.yaml:1\nremedy: Linux 6.10; " +
				"or list landlock-rights under missing (--missing landlock-rights): the mounts restrict the same"},
		{"a capability of the future", sandboxtest.With(func(p *policy.Profile) {
			p.Capabilities.Keep = []policy.Capability{{Name: "CHECKPOINT_RESTORE", Pos: sandboxtest.Pos(4)}}
		}), sandboxtest.OnHost(func(h *host.Host) { h.LastCap = 37 }), "true",
			"unsupported caps: this kernel has no capability CHECKPOINT_RESTORE\nfrom: p.yaml:4\nremedy: leave it out; the last one here is number 37"},
		{"an unknown resource", sandboxtest.With(func(p *policy.Profile) { p.Limits.Rlimits = []policy.Rlimit{{Name: "cows", Pos: sandboxtest.Pos(4)}} }), nil, "true",
			"error: limits.rlimits: unknown resource cows\nfrom: p.yaml:4\nhint: "},
		{"working directory is a file", sandboxtest.With(func(p *policy.Profile) {
			p.Process.Workdir = "/etc/passwd"
			p.Sources = sandboxtest.Sourced("process.workdir")
		}), nil, "true",
			"error: process.workdir /etc/passwd: no such directory inside\nfrom: p.yaml:1\nhint: bind it, or name one that exists"},

		{"not in PATH", sandboxtest.HostRoot(), nil, "nothing",
			"lookup 127: nothing: not found in PATH inside the sandbox\nhint: no directory of PATH has it; PATH is /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; is it installed? Otherwise name it by its path"},
		{"an empty name", sandboxtest.HostRoot(), nil, "''",
			"lookup 127: \"\": an empty name is no program\nhint: "},
		{"no such file", sandboxtest.HostRoot(), nil, "./nothing",
			"lookup 127: ./nothing: no such file\nhint: "},
		{"a directory", sandboxtest.HostRoot(), nil, "/usr/bin",
			"lookup 126: /usr/bin: is a directory\nhint: "},
		{"not executable", sandboxtest.HostRoot(), nil, "./main.c",
			"lookup 126: ./main.c: not executable: permission denied\nhint: use chmod +x, or name its interpreter"},
		{"not executable in PATH", sandboxtest.HostRoot(), sandboxtest.OnHost(func(h *host.Host) { h.Files.(sandboxtest.FakeFiles).File("/usr/bin/data") }), "data",
			"lookup 126: data: not executable: permission denied\nhint: use chmod +x, or name its interpreter"},
		{"script without its interpreter", sandboxtest.HostRoot(), sandboxtest.OnHost(func(h *host.Host) { h.Files.(sandboxtest.FakeFiles).Program("/usr/bin/old", "#!/usr/bin/perl4\n") }), "old",
			"lookup 127: /usr/bin/old: its interpreter /usr/bin/perl4: no such file\nhint: "},
		{"env without its program", sandboxtest.HostRoot(), sandboxtest.OnHost(func(h *host.Host) { h.Files.(sandboxtest.FakeFiles).Program("/usr/bin/old", "#!/usr/bin/env perl4\n") }), "old",
			"lookup 127: /usr/bin/old: its interpreter perl4: not found in PATH inside the sandbox\nhint: no directory of PATH has it; PATH is /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; is it installed? Otherwise name it by its path"},
		{"interpreter without permission", sandboxtest.HostRoot(), sandboxtest.OnHost(func(h *host.Host) {
			h.Files.(sandboxtest.FakeFiles).Program("/usr/bin/old", "#!/etc/passwd\n")
		}), "old",
			"lookup 126: /usr/bin/old: its interpreter /etc/passwd: not executable: permission denied\nhint: use chmod +x, or name its interpreter"},
		{"program behind a dangling link", sandboxtest.HostRoot(), sandboxtest.OnHost(func(h *host.Host) { h.Files.(sandboxtest.FakeFiles).Link("/usr/bin/gone", "elsewhere") }), "/usr/bin/gone",
			"lookup 127: /usr/bin/gone: no such file\nhint: "},
		{"program behind a loop", sandboxtest.HostRoot(), sandboxtest.OnHost(func(h *host.Host) { h.Files.(sandboxtest.FakeFiles).Link("/usr/bin/loop", "loop") }), "/usr/bin/loop",
			"lookup 126: /usr/bin/loop: too many symbolic links\nhint: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			host, args := tt.host, strings.Fields(tt.args)
			if host == nil {
				host = sandboxtest.FakeUser()
			}
			for i := range args {
				args[i] = strings.Trim(args[i], "'")
			}
			pl, err := Compile(tt.p, host, &Cmd{Args: args, Env: []string{}})
			if pl != nil && err != nil {
				t.Error("a plan and an error")
			}
			if got := describe(err); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

// TestKeyring checks that a sandbox whose filter allows keyctl(2) leaves the user's session keyring, and that it keeps
// the keyring if no call can reach it.
func TestKeyring(t *testing.T) {
	for _, denied := range []bool{false, true} {
		p := sandboxtest.HostRoot()
		if denied {
			p.Syscalls.Deny = []policy.SyscallItem{{Name: "@keyring"}}
		}
		if text := goldenOf(t, p, sandboxtest.FakeRoot()); strings.Contains(text, "KEYCTL_JOIN_SESSION_KEYRING") == denied {
			t.Errorf("the calls denied: %v\n%s", denied, text)
		}
	}
}

// TestCoveredSoon checks that no file system is made if the next mount at the same place covers it, and that each is
// made that somebody could see or put something into.
func TestCoveredSoon(t *testing.T) {
	root, home := policy.Mount{Kind: policy.MountTmpfs, Target: "/root"}, policy.Mount{Kind: policy.MountTmpfs, Target: "~"}
	optional := func(m policy.Mount) policy.Mount { m.Optional = true; return m }
	for _, tt := range []struct {
		name   string
		mounts []policy.Mount
		want   int
	}{
		{"covered", []policy.Mount{root, home}, 1},
		{"another between", []policy.Mount{root, {Kind: policy.MountTmpfs, Target: "/tmp"}, home}, 2},
		{"optional like the next", []policy.Mount{optional(root), optional(home)}, 1},
		{"the next may be left out", []policy.Mount{root, optional(home)}, 2},
		{"something in it", []policy.Mount{root, {Kind: policy.MountDir, Target: "/root/x"}, home}, 2},
		{"a mount in it", []policy.Mount{root, {Kind: policy.MountTmpfs, Target: "/root/x"}, home}, 3},
		{"another kind", []policy.Mount{root, {Kind: policy.MountEmpty, Target: "/root"}}, 1},
		{"another place", []policy.Mount{root, {Kind: policy.MountTmpfs, Target: "/tmp"}}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := sandboxtest.HostRoot()
			p.Mounts = tt.mounts
			if tt.name == "a mount in it" {
				p.Mounts = []policy.Mount{root, {Kind: policy.MountDir, Target: "/root/x"}, {Kind: policy.MountTmpfs, Target: "/root/x"}, home}
			}
			h := sandboxtest.FakeRoot()
			h.Home = "/root"
			text := goldenOf(t, p, h)
			if got := strings.Count(text, `fsopen("tmpfs"`) - 1; got != tt.want { // and the scratch file system
				t.Errorf("%d, not %d\n%s", got, tt.want, text)
			}
		})
	}
}
