package terminal

// This file is the launcher's part between its terminal and the task's: termios(3), ioctl_tty(2), pty(7),
// credentials(7).
//
// The launcher passes on each typed byte. The caller's terminal is in raw mode, and the line discipline of the task's
// terminal makes signals, lines and echoes from the bytes. The task's output comes out unchanged. Everything else is
// about sharing the caller's terminal with other programs, as every program of a job does:
//
//   - In the background (`cordon run make &`) the launcher does not touch the terminal until it is in the foreground.
//   - In a pipeline (stdin is not a terminal, or stdout is a pipe) another program may read the same terminal, such as
//     a pager after the pipe: sharedtty.go.
//   - When the task stops (Ctrl-Z), the launcher restores the terminal and stops too, so that the shell that started it
//     shows its prompt. When the launcher is continued, so is the task.

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

// sandboxed is what a terminal needs from the launcher of its sandbox. The loop calls its methods; the copier also
// calls SignalGroup.
type sandboxed interface {
	SignalGroup(sig syscall.Signal) error // signals the task's process group
	FollowStop()                          // stops the launcher if the task has stopped
	StopWith(group bool)                  // stops the launcher, with group its whole job; then continues the task
	HungUp()                              // ends the task, because the caller's terminal is gone
	EndNow()                              // kills the sandbox
	IsTold() bool                         // reports whether the run was told to end
	IsHurried() bool                      // reports whether the launcher shall not wait for anything any more
	HurryUp()                             // makes IsHurried true
	HasEnded() bool                       // reports whether the task has ended
}

// Terminal is the launcher's side of the task's terminal. A goroutine, copier, copies the output; everything else is
// done in the loop.
type Terminal struct {
	sandbox sandboxed
	loop    *loop.Loop
	init    int // the pid of the sandbox's init, once the program runs

	Master int // does not block; -1 until the launcher has it
	slave  int // the launcher's own, so that a task that closes its terminal can open it again; -1 until then

	in     int  // the caller's terminal, where the user types; -1 for none
	out    int  // where the task's output goes: a terminal, or what stands for stdout; -1 for nowhere
	typist bool // in is stdin
	shared bool // another program may read the caller's terminal

	linesOnly bool // the launcher never makes the caller's terminal raw
	deaf      bool // the launcher reads nothing from it

	mu        sync.Mutex // guards the next seven, because the copier follows the task's mode too
	raw       bool       // the launcher has set the mode of the caller's terminal
	set       unix.Termios
	found     *unix.Termios // the caller's mode before the launcher first changed it
	began     unix.Termios  // the initial mode of the task's terminal
	echo      []byte        // what was typed in line mode, if the caller's terminal has shown it
	looked    time.Time     // when opened last looked for processes that have opened the task's terminal
	hasOpened bool          // what opened found

	pending    []byte      // typed, but not yet passed to the task
	ahead      []byte      // the end of what was typed
	unread     []byte      // typed, but not read by the task, which has ended
	over       atomic.Bool // the task has ended
	size       unix.Winsize
	later      bool      // a call of attend is due
	LastKey    time.Time // when something was typed
	nextLook   time.Time // when the next look at whether the task has stopped is due; zero for none
	modeCopied bool      // the task's terminal has got the mode of the caller's
	vanished   bool      // the caller's terminal is gone

	interrupted time.Time    // when Ctrl-C was last typed
	late        bool         // Ctrl-C was typed after the task had ended
	written     atomic.Int64 // bytes that the task has written since the last Ctrl-C

	Copying bool
	idle    atomic.Bool   // the copier has written all that it has read
	ending  atomic.Bool   // the sandbox has ended: the copier copies the rest, then ends
	wake    int           // eventfd: tells the copier to look at ending
	done    int           // eventfd: tells the loop that the copier has ended
	last    []byte        // the end of the task's output; only the copier uses it until the copier has ended
	cast    *cast         // nil if nothing is recorded
	meter   *output.Meter // nil without limits.output
}

// New makes the launcher's side. stdio are the caller's files. If always is true, the task's stdout is a terminal
// even if the caller's is not.
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

// keep duplicates the chosen terminals, because the caller may close its own once the program runs.
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

// Take takes over the master of the task's terminal, and gives the terminal the mode and the size of the caller's.
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

// copyMode gives the task's terminal the mode of the caller's, including its keys for signals and editing. It does so
// once, when the launcher is in the foreground, because in the background the mode is that of the shell's command line.
func (t *Terminal) copyMode() {
	if t.in < 0 || t.modeCopied || !t.Foreground() {
		return
	}
	t.modeCopied = true
	outer, err := unix.IoctlGetTermios(t.in, unix.TCGETS)
	if err != nil {
		return
	}
	if inner, err := unix.IoctlGetTermios(t.Master, unix.TCGETS); err == nil && *inner == t.began { // the task has not changed it
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

// Begin starts the copying once the program runs. init is the pid of the sandbox's init. The meter counts the bytes,
// and c has the meter's descriptors.
func (t *Terminal) Begin(init int, m *output.Meter, c *output.Copying) {
	t.init, t.Copying, t.meter = init, true, m
	c.Use()
	go func() {
		t.copier()
		c.Leave()
	}()
	t.attend()
}

// attend decides whether the launcher now reads what is typed, and in which mode.
func (t *Terminal) attend() {
	if t.in < 0 || t.vanished || t.ending.Load() {
		return
	}
	t.loop.Unwatch(t.in)
	if !t.Foreground() {
		t.again(250 * time.Millisecond) // a shell's fg sends no signal to a job that runs
		return
	}
	t.copyMode()
	switch {
	case t.deaf:
		t.loop.Watch(t.in, 0, t.typed) // the terminal may be hung up
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

// Foreground reports whether the launcher may read the caller's terminal. A terminal that controls another session,
// or none, has no foreground group for the launcher; the launcher may read it.
func (t *Terminal) Foreground() bool {
	group, err := unix.IoctlGetInt(t.in, unix.TIOCGPGRP)
	return err != nil || group == unix.Getpgrp()
}

// setRaw sets the caller's terminal to raw mode, as cfmakeraw(3) does: each typed byte goes to the task.
func (t *Terminal) setRaw() {
	t.change(func(mode *unix.Termios) {
		mode.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
		if !t.shared { // the other programs of the pipeline write lines
			mode.Oflag &^= unix.OPOST
		}
		mode.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
		mode.Cflag = mode.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
		mode.Cc[unix.VMIN], mode.Cc[unix.VTIME] = 1, 0
	})
}

// change changes the mode of the caller's terminal, unless the launcher has already changed it.
func (t *Terminal) change(what func(*unix.Termios)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.raw {
		return
	}
	mode, err := unix.IoctlGetTermios(t.in, unix.TCGETS)
	if err != nil {
		return // the terminal is gone: the next read says so
	}
	if found := *mode; t.found == nil || mode.Lflag&lineMode != 0 { // not the mode of an earlier setRaw
		t.found = &found
	}
	what(mode)
	t.raw = unix.IoctlSetTermios(t.in, unix.TCSETS, mode) == nil
	if now, err := unix.IoctlGetTermios(t.in, unix.TCGETS); err == nil { // the mode as the kernel has set it
		t.set = *now
	}
}

// Restore sets the caller's terminal back to its initial mode. It changes nothing in the background, when the terminal
// belongs to somebody else, or if another program of the pipeline has set the mode meanwhile.
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

// Resize gives the task's terminal the size of the caller's. If the size has changed, the kernel signals the
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

// HangUp ends the task when the caller's terminal is gone.
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

// Raise sends the foreground group in the sandbox the signal of a key, as the line discipline does.
func (t *Terminal) Raise(sig syscall.Signal) error {
	return unix.IoctlSetInt(t.Master, unix.TIOCSIG, int(sig))
}

// Resumed takes over the caller's terminal again after a stop, because a shell has used the terminal meanwhile.
func (t *Terminal) Resumed() {
	t.mu.Lock()
	t.raw = false
	t.mu.Unlock()
	t.attend()
	t.Resize()
}

// Suspend stops the launcher after the task has been stopped, with the terminal in its initial mode. First it copies
// what the task has still written, such as an editor's switch back to the other screen, so that this does not appear
// after the shell's prompt.
func (t *Terminal) Suspend(group bool) {
	t.settle()
	t.Restore()
	t.sandbox.StopWith(group)
}
