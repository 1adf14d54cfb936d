package launch

// The launcher enters namespaces that exist, and takes the child that is born there.

import (
	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/child"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/loop"
)

// openJoins opens the namespaces that are joined.
func (p *Process) openJoins() error {
	for i := range p.Comp.Joins {
		j := &p.Comp.Joins[i]
		fd, err := unix.Open(j.Path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return &fail.Error{Op: "namespace " + j.Path, Err: err, From: p.Comp.Where(j.Key), Hint: "ip netns add makes one below /run/netns"}
		}
		if err := p.files.Add(j.Kind, fd); err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Fstat(p.files.Fds[j.Kind], &st); err != nil {
			return &fail.Error{Op: "namespace " + j.Path, Err: err, From: p.Comp.Where(j.Key)}
		}
		p.found[j.Kind] = st.Ino
	}
	return nil
}

// enterJoined takes the launcher's thread into the namespaces that the child does not enter itself.
func (p *Process) enterJoined() error {
	if p.Comp.Staged() {
		return nil
	}
	for _, j := range p.Comp.Joins {
		if err := unix.Setns(p.files.Fds[j.Kind], j.Flag); err != nil {
			return &fail.Error{Op: "setns " + j.Path, Err: err, From: p.Comp.Where(j.Key)}
		}
	}
	return nil
}

// adopt takes the process that the first child has left in its place: it is init from here on.
func (p *Process) adopt() error {
	next := int(p.Image.Page().Next)
	if next == 0 || next == p.PID {
		return nil
	}
	fd, err := unix.PidfdOpen(next, 0)
	if err != nil {
		fd = -1
		_ = unix.Kill(next, unix.SIGKILL) // not waited for yet, so the number is still its own
		err = &fail.Error{Op: "pidfd_open of init", Err: err}
	}
	for again := true; again; { // it ends right behind the clone
		_, waited := unix.Wait4(p.PID, nil, 0, nil)
		again = waited == unix.EINTR
	}
	p.Mu.Lock()
	defer p.Mu.Unlock()
	unix.Close(p.pidfd)
	p.PID, p.pidfd = next, fd
	if p.killed && fd >= 0 {
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) // gone already is as good
	}
	return err
}

// born waits until the child is the process that it stays, where it enters namespaces.
func (p *Process) born() error {
	if !p.Comp.Staged() {
		return nil
	}
	p.files.CloseAll() // with the child's end of the socket in it a child that is gone would not be heard
	if err := p.entered(); err != nil {
		return err
	}
	m, err := p.word()
	if err != nil {
		return err
	}
	if m != compile.MsgBorn {
		return p.ended()
	}
	return p.adopt()
}

// word waits for a message of a child that is no other's parent yet; 0 is the end of it.
func (p *Process) word() (byte, error) {
	if err := p.await(p.Link, -1); err != nil {
		return 0, err
	}
	m, errno := child.Receive(p.Link)
	if errno != 0 {
		return 0, &fail.Error{Op: "receive from the child", Err: errno}
	}
	return m.Byte, nil
}

// awaitWord waits for a message. Where init is not pid 1 of the sandbox its end does not close the task's end of the socket.
func (p *Process) awaitWord() error {
	if p.Comp.OwnsPID() {
		return p.await(p.Link, -1)
	}
	if err := p.await(p.Link, p.pidfd); err != nil {
		return err
	}
	if !loop.Readable(p.Link) {
		return p.ended()
	}
	return nil
}
