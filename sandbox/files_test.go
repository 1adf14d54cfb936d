package sandbox

import (
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/launch"
	"cordon/sandbox/internal/loop"
	"cordon/sandbox/internal/sandboxtest"
)

// TestFileSet puts descriptors above those that the task gets. If that fails, it is an error, and no descriptor stays
// open.
func TestFileSet(t *testing.T) {
	zero := func() int {
		fd, err := unix.Open("/dev/zero", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	before := sandboxtest.Descriptors(t)
	s := launch.FileSet{Base: 200, Fds: map[string]int{}}
	if err := s.Add("zero", zero()); err != nil || s.Fds["zero"] < s.Base {
		t.Errorf("%v, %v", s.Fds, err)
	}
	s.CloseAll()
	above := launch.FileSet{Base: 1 << 30, Fds: map[string]int{}} // above every limit
	if err := above.Add("zero", zero()); !errors.Is(err, unix.EINVAL) || len(above.Fds) != 0 {
		t.Errorf("%v, %v", above.Fds, err)
	}
	if err := above.Dup("stdin", int(os.Stdin.Fd())); !errors.Is(err, unix.EINVAL) {
		t.Error(err)
	}
	if n := sandboxtest.Descriptors(t); n != before {
		t.Errorf("%d descriptors are open, there were %d", n, before)
	}
}

// TestSendHearsSignals fills the socket of a child that reads nothing, as a stopped child does. The launcher must still
// handle a signal, and must send the message once there is room.
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
	p.Link, p.Signals = pair[0], int(r.Fd())
	p.Watch(p.Signals, unix.POLLIN, func(int16) { p.Forward() })
	sent := make(chan error, 1)
	go func() { sent <- p.Send(nil) }()
	if _, err := w.Write([]byte{byte(unix.SIGTERM)}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(sandboxtest.Slow(3 * time.Second)); loop.Readable(p.Signals); time.Sleep(time.Millisecond) {
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

// TestCloneError checks that the error does not blame the host for a limit of the caller's.
func TestCloneError(t *testing.T) {
	var unsupported *UnsupportedError
	if err := (&launch.Process{Cmd: &launch.Command{}}).CloneError(unix.EMFILE); errors.As(err, &unsupported) || !errors.Is(err, unix.EMFILE) {
		t.Errorf("%T %v", err, err)
	}
	if err := (&launch.Process{Cmd: &launch.Command{}}).CloneError(unix.EPERM); !errors.As(err, &unsupported) {
		t.Errorf("%T %v", err, err)
	}
}
