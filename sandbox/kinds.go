package sandbox

import (
	"golang.org/x/sys/unix"

	"cordon/policy"
)

// nsKind is a kind of namespace: namespaces(7).
type nsKind struct {
	name     string // in /proc/PID/ns, and in user.max_*_namespaces
	flag     uint64 // of clone(2)
	children string // the link in /proc/PID/ns that says what a process has entered for its children
	layer    policy.Layer
	config   string // what the kernel is built with where it has the kind
}

// spaceKinds are all kinds. The last one is time, which clone3(2) cannot make and kernels before Linux 5.6 do not have.
var spaceKinds = [...]nsKind{
	{"user", unix.CLONE_NEWUSER, "user", policy.LayerUser, "CONFIG_USER_NS"},
	{"mnt", unix.CLONE_NEWNS, "mnt", policy.LayerMount, "CONFIG_NAMESPACES"},
	{"pid", unix.CLONE_NEWPID, "pid_for_children", policy.LayerPID, "CONFIG_PID_NS"},
	{"ipc", unix.CLONE_NEWIPC, "ipc", policy.LayerIPC, "CONFIG_IPC_NS"},
	{"uts", unix.CLONE_NEWUTS, "uts", policy.LayerUTS, "CONFIG_UTS_NS"},
	{"cgroup", unix.CLONE_NEWCGROUP, "cgroup", policy.LayerCgroupNS, "CONFIG_CGROUPS"},
	{"net", unix.CLONE_NEWNET, "net", policy.LayerNet, "CONFIG_NET_NS"},
	{"time", unix.CLONE_NEWTIME, "time_for_children", policy.LayerTime, "CONFIG_TIME_NS"},
}

// nsKinds are the kinds that clone3(2) makes.
var nsKinds = spaceKinds[:len(spaceKinds)-1]

// profileName returns the kind's key in a profile's namespaces.
func (k *nsKind) profileName() string {
	if k.name == "mnt" {
		return "mount"
	}
	return k.name
}
