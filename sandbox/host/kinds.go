package host

import (
	"golang.org/x/sys/unix"

	"cordon/policy"
)

// Kind is a kind of namespace: namespaces(7).
type Kind struct {
	Name     string // the kind's name in /proc/PID/ns and in user.max_*_namespaces
	Flag     uint64 // its flag for clone(2)
	Children string // the link in /proc/PID/ns for the namespace of a process's future children
	Layer    policy.Layer
	Config   string // the kernel option that adds this kind
}

// Kinds lists all kinds of namespaces. The last one is time, which clone3(2) cannot make and kernels before Linux 5.6
// lack.
var Kinds = [...]Kind{
	{"user", unix.CLONE_NEWUSER, "user", policy.LayerUser, "CONFIG_USER_NS"},
	{"mnt", unix.CLONE_NEWNS, "mnt", policy.LayerMount, "CONFIG_NAMESPACES"},
	{"pid", unix.CLONE_NEWPID, "pid_for_children", policy.LayerPID, "CONFIG_PID_NS"},
	{"ipc", unix.CLONE_NEWIPC, "ipc", policy.LayerIPC, "CONFIG_IPC_NS"},
	{"uts", unix.CLONE_NEWUTS, "uts", policy.LayerUTS, "CONFIG_UTS_NS"},
	{"cgroup", unix.CLONE_NEWCGROUP, "cgroup", policy.LayerCgroupNS, "CONFIG_CGROUPS"},
	{"net", unix.CLONE_NEWNET, "net", policy.LayerNet, "CONFIG_NET_NS"},
	{"time", unix.CLONE_NEWTIME, "time_for_children", policy.LayerTime, "CONFIG_TIME_NS"},
}

// CloneKinds returns the kinds that clone3(2) can make.
func CloneKinds() []Kind { return Kinds[:len(Kinds)-1] }

// ProfileName returns the kind's key in the section namespaces of a profile.
func (k *Kind) ProfileName() string {
	if k.Name == "mnt" {
		return "mount"
	}
	return k.Name
}
