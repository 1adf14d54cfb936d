package compile

// Namespaces: namespaces(7), clone(2), setns(2), time_namespaces(7). Minimum kernel 5.6 for clone3 with what is used.

import (
	"errors"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/plan"
)

// NsMode returns what the profile says of a kind of CloneKinds. The network section counts too: network: host is the host's
// namespace.
func (c *Compilation) NsMode(k *host.Kind) policy.Namespace {
	n := &c.Profile.Namespaces
	switch k.Flag {
	case unix.CLONE_NEWUSER:
		return n.User
	case unix.CLONE_NEWNS:
		return n.Mount
	case unix.CLONE_NEWPID:
		return n.PID
	case unix.CLONE_NEWIPC:
		return n.IPC
	case unix.CLONE_NEWUTS:
		return n.UTS
	case unix.CLONE_NEWCGROUP:
		return n.Cgroup
	}
	if c.Profile.Network.Mode == policy.NetworkHost {
		return policy.Namespace{Mode: policy.NSHost}
	}
	return n.Net
}

// Namespaces decides which are made and which are joined. A joined namespace belongs to somebody else's user
// namespace, so it is entered before the sandbox's own is made: inside, the child has no rights over it any more.
func (c *Compilation) Namespaces() error {
	for i := range host.CloneKinds {
		k := &host.CloneKinds[i]
		switch ns := c.NsMode(k); ns.Mode {
		case policy.NSNew:
			c.made |= k.Flag
		case policy.NSJoin:
			c.addJoin(k.Name, "namespaces."+k.ProfileName(), ns.Path, k.Flag, k.Layer)
		}
	}
	if c.Joined(unix.CLONE_NEWNS) != nil {
		c.made |= unix.CLONE_NEWNS // a copy of it, so that nothing that is mounted here appears there
	}
	if c.made&unix.CLONE_NEWNS == 0 {
		return &fail.Error{Op: "namespaces.mount", Err: errors.New("a root and mounts need a new mount namespace"),
			From: c.Where("namespaces.mount"), Hint: "leave out namespaces.mount: new is the default"}
	}
	c.Plan.Clone = c.made &^ unix.CLONE_NEWNET // see network
	if err := c.timeNamespace(); err != nil {
		return err
	}
	return c.enter()
}

// timeNamespace makes a time namespace for the task: the offsets can only be written until the first process is in
// it, so it is unshared here and entered by the fork. One that exists is entered by the child.
func (c *Compilation) timeNamespace() error {
	t := &c.Profile.Namespaces.Time
	if !t.New && t.Path == "" {
		return nil
	}
	if !c.Host.Since(5, 6) {
		return c.lacking(policy.LayerTime, "time namespaces need Linux 5.6", "", c.Where("namespaces.time"), "upgrade the kernel")
	}
	c.NewTime = t.New
	if t.Path != "" {
		c.addJoin("time", "namespaces.time", t.Path, unix.CLONE_NEWTIME, policy.LayerTime)
	}
	return nil
}

// offsets is called once the ids are mapped: the file belongs to the user namespace's root.
func (c *Compilation) timeOffsets() {
	t := &c.Profile.Namespaces.Time
	if !c.NewTime {
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
		c.writeFile(from, "self/timens_offsets", text)
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
func (c *Compilation) hostname() error {
	if c.made&unix.CLONE_NEWUTS == 0 {
		return nil
	}
	c.do(c.scalar("hostname"), plan.Hostname(c.hostnameText()))
	return nil
}

func (c *Compilation) hostnameText() string {
	if c.Profile.Hostname == "" {
		return "cordon"
	}
	return c.Profile.Hostname
}

// Network makes the network namespace and brings its loopback up: netdevice(7). clone3 could make it too, but takes a
// quarter of a launch for it, in which the launcher would wait.
func (c *Compilation) Network() error {
	if c.made&unix.CLONE_NEWNET == 0 {
		return nil
	}
	c.OwnNet = true
	socket := plan.R(plan.Socket)
	c.do(c.scalar("network"),
		plan.UnshareStep(unix.CLONE_NEWNET),
		plan.SocketStep(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0).Into(plan.Socket),
		plan.SetLinkFlags(socket, "lo", unix.IFF_UP),
		plan.CloseStep(socket))
	return nil
}
