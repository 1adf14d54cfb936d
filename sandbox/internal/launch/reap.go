package launch

import (
	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/child"
)

// reap waits for init, and with it for every process of the pid namespace.
func (p *Process) reap(usage *unix.Rusage) unix.WaitStatus {
	if !p.Reaped {
		p.Status = child.Reap(p.PID, p.pidfd, usage)
		p.Reaped = true
	}
	return p.Status
}
