package sandbox

// The talk between launcher and child, from clone until the program has been exec'd. pidfd_open(2), Linux 5.3.

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/child"
)

// converse answers the child until execve has closed its last end of the socket.
func (p *process) converse() error {
	var init, task bool
	for {
		if err := p.awaitWord(); err != nil {
			return err
		}
		m, errno := child.Receive(p.link)
		if errno != 0 {
			return &Error{Op: "receive from the child", Err: errno}
		}
		if m.Byte == 0 { // the other ends are closed: the program runs, or the child is gone
			return p.ended()
		}
		err := p.hear(&m)
		init, task = init || m.Byte == msgInit, task || m.Byte == msgTask
		if err == nil && init && task && (m.Byte == msgInit || m.Byte == msgTask) {
			p.writes.Go()
			p.At(time.Now().Add(initStep), p.continueStart)
			err = p.send(nil)
		}
		if err != nil && p.dying() { // and cannot be read back any more
			return errEnded
		}
		if err != nil {
			return err
		}
	}
}

// hear does what a message asks for.
func (p *process) hear(m *child.Message) (err error) {
	switch m.Byte {
	case msgBegin:
		if err = p.taskSeen(m.Sender); err == nil && p.comp.into == nil {
			err = p.checkNamespaces()
		}
		if err == nil {
			err = p.checkGroups()
		}
	case msgRoot:
		if err = p.checkMounts(); err == nil {
			err = p.guardDevices()
		}
	case msgRules:
		err = p.keepFile(fileRuleset, m.File)
	case msgTask:
		if err = p.checkTerminal(); err == nil {
			err = p.checkConfined()
		}
		if err == nil {
			err = p.keep()
		}
		if err == nil {
			err = p.ready()
		}
	case msgStdin:
		err = p.keepStdin(m.File)
	case msgTerminal:
		err = p.terminal.take(m.File)
	case msgReady:
		p.listen(m.File)
	}
	return err
}

// send tells the child to go on, with descriptors where it waits for any.
func (p *process) send(rights []byte) error {
	for {
		switch err := unix.Sendmsg(p.link, []byte{1}, rights, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT); err {
		case nil, unix.EPIPE, unix.ECONNRESET: // the last two: the child is gone, and the next receive says so
			return nil
		case unix.EAGAIN: // hundreds are on the way, and a child that takes none must not keep signals from being heard
			if err := p.awaitEvent(unix.PollFd{Fd: int32(p.link), Events: unix.POLLOUT}, -1); err != nil {
				return err
			}
		case unix.EINTR:
		default:
			return &Error{Op: "send to the child", Err: err}
		}
	}
}

// taskSeen holds on to the task before it runs the program, so that its number cannot be anybody else's later.
func (p *process) taskSeen(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return &Error{Op: "pidfd_open of the task", Err: err}
	}
	p.task = pid
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taskfd = fd
	p.keepInitGoing()
	return nil
}

// ended says why the child closed its last end of the socket: nil when the program runs.
func (p *process) ended() error {
	reached := int(p.image.Page().Task.Step) == len(p.comp.plan.Steps) // the last step, which runs the program
	if p.task != 0 && reached && !p.exited() && p.fault() == nil {
		return p.checkListener()
	}
	return errEnded
}

// dying reports whether init or the task has been killed: what a process had goes a moment before its end is told.
func (p *process) dying() bool {
	return endsWithin(100*time.Millisecond, p.pidfd, p.taskfd)
}

var errEnded = &Error{Op: "launch", Err: errors.New("the child ended before the program was run"),
	Hint: "was it killed? a memory limit or the kernel's log may say by whom"}
