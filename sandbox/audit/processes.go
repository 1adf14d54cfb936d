package audit

// This file handles signals and other calls on a process: kill(2), pidfd_open(2), process_vm_readv(2).

import (
	"os"
	"strconv"

	"cordon/sandbox/record"
)

// reaches lists the calls whose first argument is a process on which the call acts. tgkill is not in the list, because
// programs use it for their own threads.
var reaches = []string{"kill", "rt_sigqueueinfo", "pidfd_open", "process_vm_readv", "process_vm_writev"}

// reach asks the model of the sandbox about a process outside. For a process group it asks about the group's leader. It
// ignores kill(-1), which names no process.
func (a *Auditor) reach() {
	pid := int(int32(a.call.Args[0]))
	if a.aspects().name == "kill" && pid < -1 {
		pid = -pid
	}
	if pid <= 0 || !exists(pid) || descends(pid, os.Getpid()) {
		return
	}
	if r := a.query.Signal(pid); !r.Allowed {
		a.count(kind{arch: a.call.Arch, nr: a.call.Nr, layer: r.Layer}, func() *Denial { return &Denial{Reason: r, Object: "process " + strconv.Itoa(pid), Basis: Evaluated} })
	}
}

func exists(pid int) bool {
	_, err := os.Stat("/proc/" + strconv.Itoa(pid))
	return err == nil
}

// descends reports whether a process descends from another. Every process of the sandbox descends from the launcher.
func descends(pid, from int) bool {
	for range 1 << 12 { // bounded, because parents that are read at different times can seem to form a cycle
		if pid = record.Parent(pid); pid == from || pid <= 1 {
			return pid == from
		}
	}
	return false
}
