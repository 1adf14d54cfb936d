package terminal

// This file handles a terminal that other programs may read too: termios(3), proc_pid_fd(5), proc_pid_stat(5).
//
// What the launcher reads from such a terminal, the other programs do not get. A hostile task may cause that on
// purpose. Therefore:
//
//   - If stdin is /dev/null, as in a background job of a shell without job control, the launcher reads nothing.
//   - If stdout is a pipe, the reader of the pipe may be a pager. The launcher reads lines if stdin is the terminal. It
//     changes nothing but the echo, for a password.
//   - If stdin is a pipe or a file, the launcher reads only while a process inside has opened its terminal by name, as
//     less(1) does. It then reads lines, or raw bytes if the task's terminal is raw.
//   - If another program has left line mode or disabled the echo, the launcher reads and changes nothing until that
//     program has restored the mode.

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/host"
	"cordon/sandbox/internal/loop"
	"cordon/sandbox/internal/proc"
)

// share finds out which other programs share the caller's terminal.
func (t *Terminal) share(stdio [3]*os.File) {
	t.linesOnly = host.IsPipe(stdio[1]) || t.in >= 0 && ofAnotherSession(t.in)
	t.shared = !t.typist || t.linesOnly
	t.deaf = !t.typist && !holdsData(stdio[0])
}

// holdsData reports whether f is a pipe, a socket or a regular file.
func holdsData(f *os.File) bool {
	var st unix.Stat_t
	return host.IsPipe(f) || f != nil && unix.Fstat(int(f.Fd()), &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG
}

// ofAnotherSession reports whether a terminal controls another session than the launcher's, for example after
// setsid(1).
func ofAnotherSession(fd int) bool {
	var st unix.Stat_t
	if _, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP); err == nil || unix.Fstat(fd, &st) != nil {
		return false
	}
	all, _ := os.ReadDir("/proc") // if the caller may not read /proc, there are no processes
	for _, e := range all {
		if name := e.Name(); name[0] < '1' || name[0] > '9' {
			continue
		}
		stat, err := proc.ReadSome("/proc/"+e.Name()+"/stat", 1024)
		if err != nil {
			continue
		}
		if s, err := proc.ParseStat(stat); err == nil && uint32(s.Terminal) == ttyNumber(st.Rdev) {
			return true
		}
	}
	return false
}

// ttyNumber returns a terminal's device number as proc_pid_stat(5) shows it in field 7.
func ttyNumber(dev uint64) uint32 {
	return unix.Major(dev)<<8 | unix.Minor(dev)&0xff | unix.Minor(dev)&^0xff<<12
}

// lineMode are the flags of a terminal in line mode.
const lineMode = unix.ICANON | unix.ECHO | unix.ISIG

// follow gives a shared terminal the mode of the task's terminal, but only while the task's terminal is in another mode
// than at first.
func (t *Terminal) follow() {
	if t.deaf || t.over.Load() {
		return
	}
	mode, err := unix.IoctlGetTermios(t.Master, unix.TCGETS)
	if err != nil {
		return
	}
	t.mu.Lock()
	same := mode.Lflag&lineMode == t.began.Lflag&lineMode
	t.mu.Unlock()
	switch {
	case same || t.linesOnly && mode.Lflag&unix.ECHO != 0:
		t.Restore()
	case t.in < 0 || !t.Foreground() || t.othersMode():
	case t.linesOnly:
		t.change(func(mode *unix.Termios) { mode.Lflag &^= unix.ECHO })
	case t.opened():
		t.setRaw()
	}
}

// othersMode reports whether another program has changed the mode of the caller's terminal.
func (t *Terminal) othersMode() bool {
	mode, err := unix.IoctlGetTermios(t.in, unix.TCGETS)
	if err != nil {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return mode.Lflag&lineMode != lineMode && !(t.raw && *mode == t.set)
}

// mine reports whether input from a shared terminal is meant for the task.
func (t *Terminal) mine() bool {
	switch {
	case t.othersMode():
		return false
	case t.isRaw():
		return true
	}
	return loop.Readable(t.in) && (t.typist || t.opened())
}

// opened reports whether a process in the sandbox has itself opened its terminal: as /dev/tty, read-only, or as its
// stdin.
func (t *Terminal) opened() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.looked) < 50*time.Millisecond {
		return t.hasOpened
	}
	t.looked, t.hasOpened = time.Now(), false
	todo := proc.ChildrenOf("/proc/" + strconv.Itoa(t.init)) // not init itself, which has no terminal
	for i := 0; i < len(todo) && i < 256 && !t.hasOpened; i++ {
		dir := "/proc/" + todo[i]
		t.hasOpened = holdsTerminal(dir)
		todo = append(todo, proc.ChildrenOf(dir)...)
	}
	return t.hasOpened
}

// holdsTerminal reports whether a process has opened a terminal, other than those with which it was started.
func holdsTerminal(dir string) bool {
	fds, _ := os.ReadDir(dir + "/fd") // no descriptors, if the process has ended meanwhile
	for _, e := range fds[:min(len(fds), 256)] {
		var st unix.Stat_t
		if unix.Stat(dir+"/fd/"+e.Name(), &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR {
			continue
		}
		const ttys, firstPTS, lastPTS = 5, 136, 143 // devices.txt
		major, minor := unix.Major(st.Rdev), unix.Minor(st.Rdev)
		if major == ttys && minor == 0 {
			return true
		}
		if major >= firstPTS && major <= lastPTS && (e.Name() == "0" || opensForReading(dir+"/fdinfo/"+e.Name())) {
			return true
		}
	}
	return false
}

// opensForReading reports whether a descriptor was opened O_RDONLY: proc_pid_fdinfo(5).
func opensForReading(info string) bool {
	text, err := proc.ReadSome(info, 512)
	flags, bad := strconv.ParseUint(proc.StatusField(text, "flags"), 8, 32)
	return err == nil && bad == nil && flags&unix.O_ACCMODE == unix.O_RDONLY
}

// expectEcho remembers a line that the caller's terminal has already echoed. The task's terminal will echo the line
// again, and withoutEcho then removes it.
func (t *Terminal) expectEcho(line []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.echo = nil; t.shared && !t.raw {
		t.echo = bytes.ReplaceAll(line, []byte("\n"), []byte("\r\n"))
	}
}

// withoutEcho removes, from the beginning of the task's output, the line that expectEcho has remembered.
func (t *Terminal) withoutEcho(b []byte) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	b = bytes.TrimPrefix(b, t.echo)
	t.echo = nil
	return b
}
