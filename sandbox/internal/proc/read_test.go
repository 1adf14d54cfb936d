package proc

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, size := range []int{0, 1, firstRead - 1, firstRead, firstRead + 1, 100_000} {
		text := strings.Repeat("x", size)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, most := range []int{size, size + 1, 1 << 30} {
			if b, err := Read(path, most); err != nil || string(b) != text {
				t.Errorf("%d of %d: %d bytes, %v", size, most, len(b), err)
			}
		}
		if size == 0 {
			continue
		}
		if _, err := Read(path, size-1); !errors.Is(err, unix.EFBIG) {
			t.Errorf("%d of %d: %v", size, size-1, err)
		}
		if b, whole, err := Head(path, size-1); len(b) != size-1 || whole || err != nil {
			t.Errorf("%d of %d: %d bytes, %v, %v", size, size-1, len(b), whole, err)
		}
	}
	if _, err := Read(path+"none", 1); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if b, err := Read("/proc/self/status", 64<<10); err != nil || !strings.HasPrefix(string(b), "Name:") {
		t.Errorf("%q, %v", b, err)
	}
}
