package terminal

// This file returns typed keys that the task has not read: ioctl_tty(2) (TIOCSTI), termios(3).
//
// In raw mode the launcher reads each key at once, because a key may be Ctrl-C. Without a sandbox, the shell would get
// the keys that a program does not read. So when the task has ended, the launcher takes the unread keys out of the
// task's terminal and puts them back into the caller's. init must not end before that, because its end closes the
// task's terminal and discards the keys in it.
//
// The launcher puts back only keys that were typed. The task may have put other bytes into its own terminal, and a
// shell would execute them. So the unread bytes must equal the end of what was typed; otherwise the launcher drops
// them.
//
// If the kernel does not allow TIOCSTI (dev.tty.legacy_tiocsti is 0, since Linux 6.2), the keys are lost.

import (
	"bytes"

	"golang.org/x/sys/unix"
)

// maxAhead is how many typed bytes the launcher remembers. A terminal holds just as many.
const maxAhead = 4096

// remember keeps the last maxAhead bytes of what was typed.
func (t *Terminal) remember(typed []byte) {
	t.ahead = append(t.ahead, typed...)
	t.ahead = t.ahead[max(0, len(t.ahead)-maxAhead):]
}

// KeepUnread takes the unread input out of the task's terminal. The task must have ended, and init must still run.
func (t *Terminal) KeepUnread() {
	t.over.Store(true)
	if t.slave < 0 || len(t.ahead) == 0 {
		return
	}
	mode, err := unix.IoctlGetTermios(t.slave, unix.TCGETS)
	if err != nil {
		return
	}
	mode.Lflag &^= unix.ICANON | unix.ECHO | unix.ISIG
	mode.Cc[unix.VMIN], mode.Cc[unix.VTIME] = 0, 0 // reads return at once
	if unix.IoctlSetTermios(t.slave, unix.TCSETS, mode) != nil {
		return
	}
	left := make([]byte, 0, 2*maxAhead)
	for len(left) < cap(left) {
		n, err := unix.Read(t.slave, left[len(left):cap(left)])
		if n <= 0 || err != nil {
			break
		}
		left = left[:len(left)+n]
	}
	t.unread = typedEnd(t.ahead, append(left, t.pending...))
	t.pending = nil
}

// typedEnd returns the end of typed that corresponds to left, the unread bytes of a terminal. It returns nil if left
// was not typed.
func typedEnd(typed, left []byte) []byte {
	if len(left) > len(typed) {
		return nil
	}
	end := typed[len(typed)-len(left):]
	enter := func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\r"), []byte("\n")) } // like the terminal flag ICRNL
	if !bytes.Equal(enter(end), enter(left)) {
		return nil
	}
	return end
}

// giveBack puts the keys that the task has not read back into the caller's terminal, if the launcher is in the
// foreground. The terminal must still have the launcher's mode, so that it does not echo the keys again.
func (t *Terminal) giveBack() {
	if t.in < 0 || t.vanished {
		return
	}
	if !t.ownsGroup() {
		return
	}
	for i := range t.unread {
		if unix.IoctlSetPointerInt(t.in, unix.TIOCSTI, int(t.unread[i])) != nil {
			break
		}
	}
	t.unread = nil
}
