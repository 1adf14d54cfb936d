package state

import (
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSignalOne distinguishes a process that has ended from a process that cannot be examined.
func TestSignalOne(t *testing.T) {
	c := exec.Command("true")
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	e := &Entry{}
	if err := e.signalOne(&Process{PID: c.Process.Pid, Start: 1}, unix.SIGCONT); err != nil {
		t.Errorf("a process that has ended: %v", err)
	}
	if err := e.signalOne(&Process{PID: os.Getpid(), Start: 1}, unix.SIGCONT); err != nil {
		t.Errorf("another process with the number: %v", err)
	}
	if err := e.signalOne(&Process{PID: 0}, unix.SIGCONT); err == nil { // pidfd_open(2): EINVAL
		t.Error("an error of pidfd_open counts as the end of the process")
	}
}
