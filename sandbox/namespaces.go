package sandbox

// Namespaces: namespaces(7), clone(2), setns(2), time_namespaces(7). Minimum kernel 5.6 for clone3 with what is used.

import (
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/plan"
)

// nsKind is one kind of namespace.
type nsKind struct {
	name  string // as in the profile and in /proc/PID/ns
	flag  uint64
	layer policy.Layer
	get   func(*policy.Namespaces) policy.Namespace
}

var nsKinds = [...]nsKind{
	{"user", unix.CLONE_NEWUSER, policy.LayerUser, func(n *policy.Namespaces) policy.Namespace { return n.User }},
	{"mnt", unix.CLONE_NEWNS, policy.LayerMount, func(n *policy.Namespaces) policy.Namespace { return n.Mount }},
	{"pid", unix.CLONE_NEWPID, policy.LayerPID, func(n *policy.Namespaces) policy.Namespace { return n.PID }},
	{"ipc", unix.CLONE_NEWIPC, policy.LayerIPC, func(n *policy.Namespaces) policy.Namespace { return n.IPC }},
	{"uts", unix.CLONE_NEWUTS, policy.LayerUTS, func(n *policy.Namespaces) policy.Namespace { return n.UTS }},
	{"cgroup", unix.CLONE_NEWCGROUP, policy.LayerCgroupNS, func(n *policy.Namespaces) policy.Namespace { return n.Cgroup }},
	{"net", unix.CLONE_NEWNET, policy.LayerNet, func(n *policy.Namespaces) policy.Namespace { return n.Net }},
}

// join is a namespace that exists already.
type join struct {
	kind string
	path string
	flag int
}

// profileName is the kind's key in the profile.
func (k *nsKind) profileName() string {
	if k.name == "mnt" {
		return "mount"
	}
	return k.name
}

// network folds the network section into the namespace: network: host is the host's namespace.
func (c *compilation) nsMode(k *nsKind) policy.Namespace {
	ns := k.get(&c.profile.Namespaces)
	if k.flag == unix.CLONE_NEWNET && c.profile.Network.Mode == policy.NetworkHost {
		return policy.Namespace{Mode: policy.NSHost}
	}
	return ns
}

// namespaces decides what clone makes and what is joined. A joined namespace belongs to somebody else's user
// namespace, so the launcher's own thread enters it before the clone: the child, in a new user namespace, has no
// rights over it any more.
func (c *compilation) namespaces() error {
	for i := range nsKinds {
		k := &nsKinds[i]
		ns := c.nsMode(k)
		switch ns.Mode {
		case policy.NSNew:
			c.plan.Clone |= k.flag
		case policy.NSJoin:
			if err := c.joinNamespace(k, ns.Path); err != nil {
				return err
			}
		}
	}
	if c.plan.Clone&unix.CLONE_NEWNS == 0 {
		return &Error{Op: "namespaces.mount", Err: errText("a root and mounts need a new mount namespace"),
			From: c.where("namespaces.mount"), Hint: "leave out namespaces.mount: new is the default"}
	}
	return c.timeNamespace()
}

func (c *compilation) joinNamespace(k *nsKind, path string) error {
	key := "namespaces." + k.profileName()
	if k.flag == unix.CLONE_NEWUSER || k.flag == unix.CLONE_NEWNS {
		return &UnsupportedError{Layer: k.layer, Why: key + ": a " + k.profileName() + " namespace cannot be joined yet", From: c.where(key),
			Remedy: "use new (the default) or host"}
	}
	if !c.host.Privileged {
		return &UnsupportedError{Layer: k.layer, Why: key + ": joining " + path + " needs CAP_SYS_ADMIN over it", From: c.where(key),
			Remedy: "run as root"}
	}
	c.joins = append(c.joins, join{k.name, path, int(k.flag)})
	c.plan.Join = append(c.plan.Join, plan.SetnsStep(plan.F(k.name), k.flag).For(c.scalar(key)))
	c.plan.Files = append(c.plan.Files, k.name)
	return nil
}

// timeNamespace makes a time namespace for the task: the offsets can only be written until the first process is in
// it, so it is unshared here and entered by the fork.
func (c *compilation) timeNamespace() error {
	t := &c.profile.Namespaces.Time
	if t.Path != "" {
		return &UnsupportedError{Layer: policy.LayerTime, Why: "namespaces.time: a time namespace cannot be joined yet", From: c.where("namespaces.time"),
			Remedy: "use new with offsets, or host"}
	}
	if !t.New {
		return nil
	}
	if !c.host.since(5, 6) {
		return c.lacking(policy.LayerTime, "time namespaces need Linux 5.6", "", c.where("namespaces.time"), "upgrade the kernel")
	}
	return nil
}

// offsets is called once the ids are mapped: the file belongs to the user namespace's root.
func (c *compilation) timeOffsets() {
	t := &c.profile.Namespaces.Time
	if !t.New {
		return
	}
	from := c.scalar("namespaces.time")
	c.do(from, plan.UnshareStep(unix.CLONE_NEWTIME))
	text := ""
	if t.Monotonic != 0 {
		text += "monotonic " + seconds(t.Monotonic) + "\n"
	}
	if t.Boottime != 0 {
		text += "boottime " + seconds(t.Boottime) + "\n"
	}
	if text != "" {
		c.writeFile(from, "/proc/self/timens_offsets", text)
	}
}

// seconds writes a duration as the kernel reads it: seconds, and nanoseconds that are never negative.
func seconds(d time.Duration) string {
	s, ns := int64(d/time.Second), int64(d%time.Second)
	if ns < 0 {
		s, ns = s-1, ns+int64(time.Second)
	}
	return strconv.FormatInt(s, 10) + " " + strconv.FormatInt(ns, 10)
}

// hostname names the new UTS namespace.
func (c *compilation) hostname() error {
	if c.plan.Clone&unix.CLONE_NEWUTS == 0 {
		return nil
	}
	c.do(c.scalar("hostname"), plan.Hostname(c.hostnameText()))
	return nil
}

func (c *compilation) hostnameText() string {
	if c.profile.Hostname == "" {
		return "cordon"
	}
	return c.profile.Hostname
}

// network makes the network namespace and brings its loopback up: netdevice(7). clone3 could make it too, but takes a
// quarter of a launch for it, in which the launcher would wait.
func (c *compilation) network() error {
	if c.plan.Clone&unix.CLONE_NEWNET == 0 {
		return nil
	}
	c.plan.Clone &^= unix.CLONE_NEWNET
	c.ownNet = true
	socket := plan.R(plan.Socket)
	c.do(c.scalar("network"),
		plan.UnshareStep(unix.CLONE_NEWNET),
		plan.SocketStep(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0).Into(plan.Socket),
		plan.SetLinkFlags(socket, "lo", unix.IFF_UP),
		plan.CloseStep(socket))
	return nil
}
