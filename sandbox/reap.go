package sandbox

import (
	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/child"
)

// reap waits for init, and with it for every process of the pid namespace.
func (p *process) reap(usage *unix.Rusage) unix.WaitStatus {
	if !p.reaped {
		p.status = child.Reap(p.pid, p.pidfd, usage)
		p.reaped = true
	}
	return p.status
}
