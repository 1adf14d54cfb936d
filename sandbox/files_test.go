package sandbox

import (
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/loop"
)

// TestFileSet: a descriptor is put above those that the task gets, or that is an error; nothing stays open behind one.
func TestFileSet(t *testing.T) {
	zero := func() int {
		fd, err := unix.Open("/dev/zero", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	before := descriptors(t)
	s := fileSet{base: 200, fds: map[string]int{}}
	if err := s.add("zero", zero()); err != nil || s.fds["zero"] < s.base {
		t.Errorf("%v, %v", s.fds, err)
	}
	s.closeAll()
	above := fileSet{base: 1 << 30, fds: map[string]int{}} // above every limit
	if err := above.add("zero", zero()); !errors.Is(err, unix.EINVAL) || len(above.fds) != 0 {
		t.Errorf("%v, %v", above.fds, err)
	}
	if err := above.dup("stdin", int(os.Stdin.Fd())); !errors.Is(err, unix.EINVAL) {
		t.Error(err)
	}
	if n := descriptors(t); n != before {
		t.Errorf("%d descriptors are open, there were %d", n, before)
	}
}

// TestSendHearsSignals fills the socket of a child that takes nothing, as one that is stopped: a signal is still heard, and
// once there is room the message is sent.
func TestSendHearsSignals(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	for err == nil {
		err = unix.Send(pair[0], []byte{1}, unix.MSG_DONTWAIT)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	p := processOf(t, &Cmd{})
	p.link, p.signals = pair[0], int(r.Fd())
	p.Watch(p.signals, unix.POLLIN, func(int16) { p.forward() })
	sent := make(chan error, 1)
	go func() { sent <- p.send(nil) }()
	if _, err := w.Write([]byte{byte(unix.SIGTERM)}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(slow(3 * time.Second)); loop.Readable(p.signals); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the signal is not heard")
		}
	}
	for range 500 {
		if _, err := unix.Read(pair[1], make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if !loop.Readable(pair[1]) {
			break
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// TestCloneError does not blame the host for a limit of the caller's.
func TestCloneError(t *testing.T) {
	var unsupported *UnsupportedError
	if err := (&process{cmd: &Command{}}).cloneError(unix.EMFILE); errors.As(err, &unsupported) || !errors.Is(err, unix.EMFILE) {
		t.Errorf("%T %v", err, err)
	}
	if err := (&process{cmd: &Command{}}).cloneError(unix.EPERM); !errors.As(err, &unsupported) {
		t.Errorf("%T %v", err, err)
	}
}
