package launch

// This file handles the messages between launcher and child, from the clone until execve has started the program.
// pidfd_open(2) needs Linux 5.3.

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/attach"
	"cordon/sandbox/internal/child"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/state"
)

// converse answers the child's messages until execve has closed the last copy of the child's socket. Each message is
// one byte, and may have one descriptor with it. The messages come in the order of the plan; package compile names
// them.
func (p *Process) converse() error {
	var init, task bool
	for {
		if err := p.awaitWord(); err != nil {
			return err
		}
		m, errno := child.Receive(p.Link)
		if errno != 0 {
			return &fail.Error{Op: "receive from the child", Err: errno}
		}
		if m.Byte == 0 { // the last copy of the other end is closed: the program runs, or the child has ended
			return p.ended()
		}
		err := p.hear(&m)
		// This is the barrier: the launcher answers once, when init is confined and the task waits. If the program ran
		// before that, it could find an init that still has capabilities, or run in a sandbox that turns out to be
		// faulty.
		init, task = init || m.Byte == compile.MsgInit, task || m.Byte == compile.MsgTask
		if err == nil && init && task && (m.Byte == compile.MsgInit || m.Byte == compile.MsgTask) {
			p.writes.Go()
			p.At(time.Now().Add(InitStep), p.continueStart)
			err = p.Send(nil)
		}
		if err != nil && p.dying() { // a dying task cannot be read back any more
			return ErrEnded
		}
		if err != nil {
			return err
		}
	}
}

// hear handles one message of the child. An error ends the launch.
func (p *Process) hear(m *child.Message) (err error) {
	switch m.Byte {
	case compile.MsgBegin: // the namespaces are complete by now, and nothing of the program has run
		if err = p.taskSeen(m.Sender); err == nil {
			err = p.identifyTask()
		}
		// If the program joins a sandbox, checkEntered has already compared the namespaces.
		if err == nil && p.Comp.Into == nil {
			err = p.checkNamespaces()
		}
		if err == nil {
			err = p.checkGroups()
		}
	case compile.MsgRoot: // nothing is mounted after this
		if err = p.checkMounts(); err == nil {
			err = p.guardDevices()
		}
	// The message carries Landlock's ruleset, so that cordon exec can enforce the same ruleset.
	case compile.MsgRules:
		err = p.keepFile(attach.FileRuleset, m.File)
	// The task opens its own status file if the launcher may not: see Compilation.HandsStatus.
	case compile.MsgStatus:
		p.statusFD = m.File
	case compile.MsgTask: // the last message before the filter: the task waits, so that the launcher can open its files
		if err = p.checkTerminal(); err == nil {
			err = p.checkConfined()
		}
		if err == nil {
			err = p.openNetwork()
		}
		if err == nil {
			err = p.keep()
		}
		if err == nil {
			err = p.ready()
		}
	// These messages carry files that only the task could open: stdin as a read-only file, the terminal of the
	// sandbox's own devpts, and the filter's listener.
	case compile.MsgStdin:
		err = p.keepStdin(m.File)
	case compile.MsgTerminal:
		err = p.terminal.Take(m.File)
	case compile.MsgReady:
		p.listen(m.File)
	case compile.MsgRoute, compile.MsgNft, compile.MsgRelay, compile.MsgNaming, compile.MsgSeed:
		p.network.take(m.Byte, m.File)
	}
	return err
}

// Send tells the child to continue, and sends the descriptors for which it waits. rights is an encoded control message
// of unix(7), or nil. Send does not wait for the child to read.
func (p *Process) Send(rights []byte) error {
	for {
		switch err := unix.Sendmsg(p.Link, []byte{1}, rights, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT); err {
		case nil, unix.EPIPE, unix.ECONNRESET: // the child has ended, and the next receive reports that
			return nil
		case unix.EAGAIN:
			// EAGAIN means that hundreds of messages are queued. The launcher waits in its loop, so that it still
			// handles signals if the child takes no messages.
			if err := p.awaitEvent(unix.PollFd{Fd: int32(p.Link), Events: unix.POLLOUT}, -1); err != nil {
				return err
			}
		case unix.EINTR:
		default:
			return &fail.Error{Op: "send to the child", Err: err}
		}
	}
}

// taskSeen opens a pidfd of the task. It does so before the task runs the program, so that the task's pid cannot belong
// to another process. pid is the number in the launcher's pid namespace, which the kernel has put into the message
// (SCM_CREDENTIALS).
func (p *Process) taskSeen(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return &fail.Error{Op: "pidfd_open of the task", Err: err}
	}
	p.Task = pid
	p.Mu.Lock()
	defer p.Mu.Unlock()
	p.Taskfd = fd
	p.keepInitGoing()
	return nil
}

// ended returns the reason why the child has closed its last copy of the socket, or nil if the program runs.
func (p *Process) ended() error {
	switch {
	// The socket is close-on-exec, so a successful execve closes it. The child's end closes it too. The shared memory
	// tells which of the two has happened: if the program runs, the task was at its last step, and has recorded no
	// error there.
	case p.atProgram() && !p.exited():
		return p.checkListener()
	case p.killedWithin():
		return nil
	}
	return ErrEnded
}

// atProgram reports whether the task runs the program, or is in the execve that starts it and has recorded no error.
func (p *Process) atProgram() bool {
	return p.Task != 0 && int(p.Image.Page().Task.Step) == len(p.Comp.Plan.Steps) && p.Fault() == nil
}

// dying reports whether somebody has killed init or the task. It waits a moment, because the kernel closes a process's
// descriptors a moment before it reports the process's end. The wait of 100 ms is far more than the kernel needs, and
// too short for a user to notice.
func (p *Process) dying() bool {
	return state.EndsWithin(100*time.Millisecond, p.pidfd, p.Taskfd)
}

// ErrEnded is the error if the child has ended and has not said why.
var ErrEnded = &fail.Error{Op: "launch", Err: errors.New("the child ended before it ran the program"),
	Hint: "was it killed? look at memory limits and at the kernel's log"}
