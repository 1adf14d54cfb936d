package sandbox

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
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
