package sandbox

// The launcher enters namespaces that exist, and takes the child that is born there.

import (
	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/child"
	"cordon/sandbox/internal/loop"
)

// openJoins opens the namespaces that are joined.
func (p *process) openJoins() error {
	for i := range p.comp.joins {
		j := &p.comp.joins[i]
		fd, err := unix.Open(j.path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return &Error{Op: "namespace " + j.path, Err: err, From: p.comp.where(j.key), Hint: "ip netns add makes one below /run/netns"}
		}
		if err := p.files.add(j.kind, fd); err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Fstat(p.files.fds[j.kind], &st); err != nil {
			return &Error{Op: "namespace " + j.path, Err: err, From: p.comp.where(j.key)}
		}
		p.found[j.kind] = st.Ino
	}
	return nil
}

// enterJoined takes the launcher's thread into the namespaces that the child does not enter itself.
func (p *process) enterJoined() error {
	if p.comp.staged() {
		return nil
	}
	for _, j := range p.comp.joins {
		if err := unix.Setns(p.files.fds[j.kind], j.flag); err != nil {
			return &Error{Op: "setns " + j.path, Err: err, From: p.comp.where(j.key)}
		}
	}
	return nil
}

// adopt takes the process that the first child has left in its place: it is init from here on.
func (p *process) adopt() error {
	next := int(p.image.Page().Next)
	if next == 0 || next == p.pid {
		return nil
	}
	fd, err := unix.PidfdOpen(next, 0)
	if err != nil {
		fd = -1
		_ = unix.Kill(next, unix.SIGKILL) // not waited for yet, so the number is still its own
		err = &Error{Op: "pidfd_open of init", Err: err}
	}
	for again := true; again; { // it ends right behind the clone
		_, waited := unix.Wait4(p.pid, nil, 0, nil)
		again = waited == unix.EINTR
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	unix.Close(p.pidfd)
	p.pid, p.pidfd = next, fd
	if p.killed && fd >= 0 {
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) // gone already is as good
	}
	return err
}

// born waits until the child is the process that it stays, where it enters namespaces.
func (p *process) born() error {
	if !p.comp.staged() {
		return nil
	}
	p.files.closeAll() // with the child's end of the socket in it a child that is gone would not be heard
	if err := p.entered(); err != nil {
		return err
	}
	m, err := p.word()
	if err != nil {
		return err
	}
	if m != msgBorn {
		return p.ended()
	}
	return p.adopt()
}

// word waits for a message of a child that is no other's parent yet; 0 is the end of it.
func (p *process) word() (byte, error) {
	if err := p.await(p.link, -1); err != nil {
		return 0, err
	}
	m, errno := child.Receive(p.link)
	if errno != 0 {
		return 0, &Error{Op: "receive from the child", Err: errno}
	}
	return m.Byte, nil
}

// awaitWord waits for a message. Where init is not pid 1 of the sandbox its end does not close the task's end of the socket.
func (p *process) awaitWord() error {
	if p.comp.ownsPID() {
		return p.await(p.link, -1)
	}
	if err := p.await(p.link, p.pidfd); err != nil {
		return err
	}
	if !loop.Readable(p.link) {
		return p.ended()
	}
	return nil
}
