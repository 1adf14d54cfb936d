package launch

// The launcher's part of the listener: it answers.

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy/filter"
	"cordon/sandbox/internal/child"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/proc"
)

// listen takes the listener that init sent.
func (p *Process) listen(fd int) {
	if fd < 0 || p.denials.Comp != nil || !child.IsListener(fd) {
		if fd >= 0 {
			unix.Close(fd)
		}
		return // checkListener says so
	}
	child.SyncWakeUp(fd)
	p.Listener = fd
	p.Watch(fd, unix.POLLIN, p.handleNotification)
	p.denials.Comp = p.Comp
}

// checkListener makes sure that a program whose calls wait for an answer has somebody who answers.
func (p *Process) checkListener() error {
	if p.Comp.Reports && p.denials.Comp == nil { // listen was not reached; a listener may be gone again, with the program
		if p.dying() {
			return ErrEnded
		}
		return &fail.Error{Op: "on-denial", Err: errors.New("the listener did not arrive"), From: p.Comp.Where("on-denial"), Hint: "--on-denial silent does without"}
	}
	return nil
}

// handleNotification answers one denied call, if there is one, given what poll(2) says of the listener. It never blocks.
func (p *Process) handleNotification(revents int16) {
	if revents&unix.POLLIN == 0 { // the last process under the filter is gone
		p.Unwatch(p.Listener)
		unix.Close(p.Listener)
		p.Listener = -1
		return
	}
	if p.Cmd.Observer != nil {
		p.observeAll()
		return
	}
	var n child.Notification
	if child.NextNotification(p.Listener, &n) != 0 {
		return // killed since
	}
	call := filter.Data{Nr: n.Nr, Arch: n.Arch, IP: n.IP, Args: n.Args}
	if !p.handleModeCall(&n, &call) {
		errno, fresh := p.denials.Count(&call)
		if fresh != nil {
			p.describe(fresh, &n)
		}
		_ = child.Deny(p.Listener, n.ID, errno) // ENOENT: killed since
	}
	if p.denials.throttle.spend(time.Now) {
		p.rest()
	}
}

// describe adds to a denial what is known only while its task waits: who it is, and the text of paths. What was read is
// believed if the task still waits behind it; a number that belongs to another process meanwhile is not its.
func (p *Process) describe(d *denied, n *child.Notification) {
	tid := int(n.PID)
	read := func(addr uint64) (string, bool) { return readText(tid, addr) }
	decoded := filter.Decode(&d.call, read)
	comm, pid := proc.WhoIs(tid)
	if !child.Waits(p.Listener, n.ID) {
		decoded, comm, pid = filter.Decode(&d.call, nil), "", 0
	}
	d.Call, d.Text, d.Comm, d.PID = decoded.Call, decoded.String(), comm, pid
	if native := p.Comp.Arch; decoded.Arch != native {
		d.Arch = decoded.Arch.String()
	}
}

// maxText is how much of a path is read.
const maxText = 256

// readText reads a text that ends with a NUL, page by page, since a page behind it may not be there.
func readText(pid int, addr uint64) (string, bool) {
	var buf [maxText]byte
	text, whole := readString(pid, addr, buf[:])
	if !whole && len(text) == len(buf) {
		return text + "…", true
	}
	return text, whole
}

// readString reads into buf. whole reports that the text ended within; otherwise it is what could be read.
func readString(pid int, addr uint64, buf []byte) (text string, whole bool) {
	const page = 4096
	got := 0
	for got < len(buf) {
		n := child.ReadMemory(pid, addr+uint64(got), buf[got:min(len(buf), got+int(page-(addr+uint64(got))%page))])
		for i := got; i < got+n; i++ {
			if buf[i] == 0 {
				return string(buf[:i]), true
			}
		}
		if n == 0 {
			return string(buf[:got]), false
		}
		got += n
	}
	return string(buf), false
}
