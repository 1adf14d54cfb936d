package terminal

// This file connects the caller's terminal with the task's: termios(3), ioctl_tty(2), pty(7), credentials(7).
//
// The launcher passes each typed byte to the task's terminal. The caller's terminal is in raw mode, and the line
// discipline of the task's terminal turns the bytes into signals, lines and echoes. The task's output reaches the
// caller's terminal unchanged. The rest of this file is about sharing the caller's terminal with other programs, as
// every program of a job must:
//
//   - In the background (`cordon run make &`) the launcher does not touch the terminal until it is in the foreground.
//   - In a pipeline (stdin is not a terminal, or stdout is a pipe) another program may read the same terminal, such as
//     a pager at the end of the pipeline: sharedtty.go.
//   - When the task stops (Ctrl-Z), the launcher restores the terminal's mode and stops too, so that the user's shell
//     shows its prompt. When somebody continues the launcher, the launcher continues the task.

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/loop"
	"cordon/sandbox/internal/output"
)

// sandboxed is what a Terminal needs from the launcher of its sandbox. The launcher's loop calls these methods; copier
// also calls SignalGroup.
type sandboxed interface {
	SignalGroup(sig syscall.Signal) error // signals the task's process group
	FollowStop()                          // stops the launcher if the task has stopped
	StopWith(group bool)                  // stops the launcher (with group, its whole job), and then continues the task
	HungUp()                              // ends the task, because the caller's terminal is gone
	EndNow()                              // kills the sandbox
	IsTold() bool                         // reports whether the run was told to end
	IsHurried() bool                      // reports whether the launcher has stopped waiting for readers of the output
	HurryUp()                             // makes IsHurried true
	HasEnded() bool                       // reports whether the task has ended
}

// Terminal is the launcher's side of the task's terminal. The goroutine copier copies the output. Everything else is
// done in the launcher's loop.
type Terminal struct {
	sandbox sandboxed
	loop    *loop.Loop
	init    int // the pid of the sandbox's init, once the program runs

	Master int // the terminal's master, which does not block; -1 before the launcher has it
	slave  int // a descriptor of the slave, so that a task that closes its terminal can open it again; -1 before

	in     int  // the caller's terminal, on which the user types; -1 if there is none
	out    int  // where the output goes: a terminal, or the file in place of stdout; -1 if nowhere
	typist bool // the caller's terminal is stdin
	shared bool // another program may read the caller's terminal

	linesOnly bool // the launcher never puts the caller's terminal into raw mode
	deaf      bool // the launcher reads nothing from the caller's terminal

	mu        sync.Mutex // guards the next seven fields, because copier uses them too
	raw       bool       // the launcher has changed the mode of the caller's terminal
	set       unix.Termios
	found     *unix.Termios // the mode of the caller's terminal before that
	began     unix.Termios  // the initial mode of the task's terminal
	echo      []byte        // what was typed in line mode and the caller's terminal has already echoed
	looked    time.Time     // when opened last examined the processes
	hasOpened bool          // the result of opened

	pending    []byte      // typed, but not yet passed to the task
	ahead      []byte      // the end of what was typed
	unread     []byte      // typed, but not read before the task ended
	over       atomic.Bool // the task has ended
	size       unix.Winsize
	later      bool      // attend will be called again
	LastKey    time.Time // when something was typed
	nextLook   time.Time // when the launcher checks next whether the task has stopped; zero if never
	modeCopied bool      // the task's terminal has got the mode of the caller's terminal
	vanished   bool      // the caller's terminal has been hung up

	interrupted time.Time    // when Ctrl-C was last typed
	late        bool         // Ctrl-C was typed after the task had ended
	written     atomic.Int64 // bytes that the task has written since the last Ctrl-C

	Copying bool
	idle    atomic.Bool   // copier has written all that it has read
	ending  atomic.Bool   // the sandbox has ended: copier copies the rest, and then ends
	wake    int           // eventfd that makes copier check ending
	done    int           // eventfd by which copier says that it has ended
	last    []byte        // the end of the task's output; only copier may use it until it has ended
	cast    *cast         // nil if nothing is recorded
	meter   *output.Meter // nil without limits.output
}

// New makes the launcher's side of a terminal. stdio holds the caller's files. If always is true, the task's stdout is
// a terminal even if the caller's stdout is none.
func New(of sandboxed, l *loop.Loop, stdio [3]*os.File, always bool) (*Terminal, error) {
	t := &Terminal{sandbox: of, loop: l, Master: -1, slave: -1, wake: -1, done: -1}
	t.choose(stdio, always)
	if err := t.keep(); err != nil {
		return t, err
	}
	for _, fd := range [...]*int{&t.wake, &t.done} {
		var err error
		if *fd, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
			*fd = -1
			return t, &fail.Error{Op: "eventfd", Err: err}
		}
	}
	return t, nil
}

// OpenPTY opens a new terminal in the launcher's devpts.
func OpenPTY() (master, slave int, err error) {
	if master, err = unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0); err != nil {
		return -1, -1, err
	}
	if err = unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err == nil {
		slave, err = openSlave(master)
	}
	if err != nil {
		unix.Close(master)
		return -1, -1, err
	}
	return master, slave, nil
}

func openSlave(master int) (int, error) {
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

// choose finds the caller's terminal among the standard files.
func (t *Terminal) choose(stdio [3]*os.File, always bool) {
	t.in, t.out = -1, -1
	for _, i := range [...]int{1, 2, 0} {
		f := stdio[i]
		if !host.IsTerminal(f) {
			continue
		}
		fd := int(f.Fd())
		if t.out < 0 {
			t.out = fd
		}
		mode, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err == nil && mode&unix.O_ACCMODE != unix.O_WRONLY && (t.in < 0 || i == 0) {
			t.in, t.typist = fd, i == 0
		}
	}
	if always && !host.IsTerminal(stdio[1]) {
		t.out = -1
		if stdio[1] != nil {
			t.out = int(stdio[1].Fd())
		}
	}
	t.share(stdio)
}

// keep duplicates the chosen terminals, because the caller may close its own descriptors once the program runs.
func (t *Terminal) keep() error {
	var failed error
	for _, fd := range [...]*int{&t.in, &t.out} {
		if *fd < 0 {
			continue
		}
		var err error
		if *fd, err = unix.FcntlInt(uintptr(*fd), unix.F_DUPFD_CLOEXEC, 3); err != nil {
			*fd = -1
			failed = &fail.Error{Op: "duplicate the terminal", Err: err}
		}
	}
	return failed
}

// Take receives the master of the task's terminal. It gives the task's terminal the mode and size of the caller's.
func (t *Terminal) Take(master int) error {
	if master < 0 || t.Master >= 0 {
		return &fail.Error{Op: "receive the terminal", Err: errors.New("it did not come")}
	}
	t.Master = master
	var err error
	if t.slave, err = openSlave(master); err != nil {
		return &fail.Error{Op: "ioctl TIOCGPTPEER", Err: err}
	}
	if err := unix.SetNonblock(master, true); err != nil {
		return &fail.Error{Op: "fcntl of the terminal", Err: err}
	}
	began, err := unix.IoctlGetTermios(master, unix.TCGETS)
	if err != nil {
		return &fail.Error{Op: "ioctl TCGETS of the terminal", Err: err}
	}
	t.began, t.size = *began, t.outerSize()
	t.copyMode()
	if err := unix.IoctlSetWinsize(master, unix.TIOCSWINSZ, &t.size); err != nil {
		return &fail.Error{Op: "ioctl TIOCSWINSZ of the terminal", Err: err}
	}
	return nil
}

// copyMode gives the task's terminal the mode of the caller's, with its keys for signals and editing. It does so once,
// when the launcher is in the foreground. Before that the caller's terminal has the mode of the shell's command line.
func (t *Terminal) copyMode() {
	if t.in < 0 || t.modeCopied || !t.Foreground() {
		return
	}
	t.modeCopied = true
	outer, err := unix.IoctlGetTermios(t.in, unix.TCGETS)
	if err != nil {
		return
	}
	if inner, err := unix.IoctlGetTermios(t.Master, unix.TCGETS); err == nil && *inner == t.began { // unchanged by the task
		t.mu.Lock()
		t.began = *outer
		t.mu.Unlock()
		_ = unix.IoctlSetTermios(t.Master, unix.TCSETS, outer) // one terminal supports what another supports
	}
}

// outerSize returns the size of the caller's terminal, or the default size of a terminal.
func (t *Terminal) outerSize() unix.Winsize {
	for _, fd := range [...]int{t.out, t.in} {
		if size, err := unix.IoctlGetWinsize(max(fd, 0), unix.TIOCGWINSZ); fd >= 0 && err == nil && size.Col != 0 {
			return *size
		}
	}
	return unix.Winsize{Row: 24, Col: 80}
}

// Record makes the terminal write a recording of the task's output to w. env is the task's environment.
func (t *Terminal) Record(w io.Writer, env []string) { t.cast = newCast(w, t.size, env) }

// Begin starts the copying once the program runs. init is the pid of the sandbox's init. m counts the bytes of the
// output, and c has the descriptors that belong to m.
func (t *Terminal) Begin(init int, m *output.Meter, c *output.Copying) {
	t.init, t.Copying, t.meter = init, true, m
	c.Use()
	go func() {
		t.copier()
		c.Leave()
	}()
	t.attend()
}

// attend decides whether the launcher reads what is typed now, and in which mode.
func (t *Terminal) attend() {
	if t.in < 0 || t.vanished || t.ending.Load() {
		return
	}
	t.loop.Unwatch(t.in)
	if !t.Foreground() {
		t.again(250 * time.Millisecond) // a shell's fg sends no signal to a running job, so the launcher checks again
		return
	}
	t.copyMode()
	switch {
	case t.deaf:
		t.loop.Watch(t.in, 0, t.typed) // only to notice when the terminal is hung up
		return
	case t.shared:
		t.follow()
	default:
		t.setRaw()
	}
	if len(t.pending) == 0 {
		t.loop.Watch(t.in, unix.POLLIN, t.typed)
	}
}

func (t *Terminal) again(d time.Duration) {
	if t.later {
		return
	}
	t.later = true
	t.loop.At(time.Now().Add(d), func() {
		t.later = false
		t.attend()
	})
}

// Foreground reports whether the launcher may read the caller's terminal. If the terminal controls another session, or
// no session, it has no foreground group for the launcher, so the launcher may read it.
func (t *Terminal) Foreground() bool {
	group, err := unix.IoctlGetInt(t.in, unix.TIOCGPGRP)
	return err != nil || group == unix.Getpgrp()
}

// setRaw puts the caller's terminal into raw mode, as cfmakeraw(3) does: each typed byte goes to the task.
func (t *Terminal) setRaw() {
	t.change(func(mode *unix.Termios) {
		mode.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
		if !t.shared { // other programs of the pipeline write lines to it
			mode.Oflag &^= unix.OPOST
		}
		mode.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
		mode.Cflag = mode.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
		mode.Cc[unix.VMIN], mode.Cc[unix.VTIME] = 1, 0
	})
}

// change applies what to the mode of the caller's terminal. If the launcher has already changed the mode, it does
// nothing.
func (t *Terminal) change(what func(*unix.Termios)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.raw {
		return
	}
	mode, err := unix.IoctlGetTermios(t.in, unix.TCGETS)
	if err != nil {
		return // the terminal has been hung up, as the next read will report
	}
	if found := *mode; t.found == nil || mode.Lflag&lineMode != 0 { // not a mode that an earlier setRaw has set
		t.found = &found
	}
	what(mode)
	t.raw = unix.IoctlSetTermios(t.in, unix.TCSETS, mode) == nil
	if now, err := unix.IoctlGetTermios(t.in, unix.TCGETS); err == nil { // the mode as the kernel has accepted it
		t.set = *now
	}
}

// Restore gives the caller's terminal its initial mode. There are two exceptions. In the background Restore does
// nothing, because the terminal belongs to another job. It also does nothing if another program of the pipeline has set
// a mode meanwhile.
func (t *Terminal) Restore() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.raw || !t.Foreground() {
		t.raw = false
		return
	}
	now, err := unix.IoctlGetTermios(t.in, unix.TCGETS)
	if err == nil && (!t.shared || *now == t.set) {
		_ = unix.IoctlSetTermios(t.in, unix.TCSETS, t.found) // if the terminal is gone, its mode does not matter
	}
	t.raw = false
}

// Resize gives the task's terminal the size of the caller's. If the size has changed, the kernel sends SIGWINCH to the
// foreground group in the sandbox.
func (t *Terminal) Resize() {
	size := t.outerSize()
	if t.Master < 0 || size == t.size || t.in < 0 && t.out < 0 {
		return
	}
	t.size = size
	_ = unix.IoctlSetWinsize(t.Master, unix.TIOCSWINSZ, &size) // cannot fail
	t.cast.resize(size)
}

// HangUp ends the task because the caller's terminal has been hung up.
func (t *Terminal) HangUp() {
	t.loop.Unwatch(t.in)
	t.vanished = true
	t.sandbox.HungUp()
}

// IsGone reports whether the caller's terminal has been hung up.
func (t *Terminal) IsGone() bool {
	_, err := unix.IoctlGetTermios(t.in, unix.TCGETS)
	return t.in >= 0 && err != nil
}

// Raise sends the signal of a key to the foreground group in the sandbox, as the line discipline does.
func (t *Terminal) Raise(sig syscall.Signal) error {
	return unix.IoctlSetInt(t.Master, unix.TIOCSIG, int(sig))
}

// Resumed takes control of the caller's terminal again after a stop, during which a shell has used the terminal.
func (t *Terminal) Resumed() {
	t.mu.Lock()
	t.raw = false
	t.mu.Unlock()
	t.attend()
	t.Resize()
}

// Suspend stops the launcher after the task has stopped, with the terminal in its initial mode. Before that, it copies
// the task's last output, such as an editor's switch back to the main screen. Otherwise this output would appear after
// the shell's prompt.
func (t *Terminal) Suspend(group bool) {
	t.settle()
	t.Restore()
	t.sandbox.StopWith(group)
}
