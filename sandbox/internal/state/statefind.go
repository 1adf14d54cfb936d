package state

// This file finds entries of the state directory by name or ID, and removes what killed launchers have left.

import (
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/phrase"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/proc"
)

// NotFoundError reports that a reference matches no sandbox, or more than one.
type NotFoundError struct {
	Ref  string
	Why  string
	Hint string
}

// Error says which reference matches nothing, and why.
func (e *NotFoundError) Error() string { return "sandbox " + strconv.Quote(e.Ref) + ": " + e.Why }

// DamagedError names the entries that cannot be read, each with the remedy. All other entries can be used.
type DamagedError struct{ Entries []error }

// Error lists the errors of the entries.
func (e *DamagedError) Error() string { return errors.Join(e.Entries...).Error() }

// Unwrap returns the error of each entry.
func (e *DamagedError) Unwrap() []error { return e.Entries }

// damaged returns a DamagedError, or nil if there is no error.
func damaged(list []error) error {
	if len(list) == 0 {
		return nil
	}
	return &DamagedError{list}
}

// Entries returns the sandboxes of the directory, the oldest first. If some entries cannot be read, it returns all
// others, and a *DamagedError.
func (d *StateDir) Entries() ([]*Entry, error) {
	names, err := d.names()
	if err != nil {
		return nil, err
	}
	var all []*Entry
	var bad []error
	for _, n := range names {
		e, err := d.open(n)
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed meanwhile, or incomplete: Sweep removes it
		case err != nil:
			bad = append(bad, &fail.Error{Op: "state of sandbox " + n, Err: phrase.Cause(err), Hint: "was it made by another version of cordon? end it with that version, or remove " + paths.Join(d.path, n)})
		default:
			all = append(all, e)
		}
	}
	sortByAge(all)
	return all, damaged(bad)
}

// Find opens the entry with a name or an ID. ref may also be the beginning of an ID, if no other ID begins with it.
func (d *StateDir) Find(ref string) (*Entry, error) {
	names, err := d.names()
	if err != nil {
		return nil, err
	}
	var found []string
	for _, n := range names {
		id, name, _ := strings.Cut(n, "@")
		if ref == name && ref != "" || ref == id {
			found = []string{n}
			break
		}
		if len(ref) >= minPrefix && strings.HasPrefix(id, ref) {
			found = append(found, n)
		}
	}
	switch len(found) {
	case 0:
		return nil, notFound(ref, names)
	case 1:
	default:
		return nil, &NotFoundError{Ref: ref, Why: "could be any of " + strings.Join(found, ", "), Hint: "type more of it"}
	}
	e, err := d.open(found[0])
	if errors.Is(err, fs.ErrNotExist) {
		return nil, notFound(ref, nil)
	}
	if err != nil {
		return nil, &fail.Error{Op: "state of sandbox " + found[0], Err: phrase.Cause(err)}
	}
	return e, nil
}

// minPrefix is the length of the shortest beginning of an ID that Find accepts.
const minPrefix = 2

func notFound(ref string, names []string) error {
	e := &NotFoundError{Ref: ref, Why: "there is none, or it is already gone", Hint: "cordon ps -a lists all sandboxes"}
	var words []string
	for _, n := range names {
		id, name, named := strings.Cut(n, "@")
		words = append(words, id)
		if named {
			words = append(words, name)
		}
	}
	if near := policy.Suggest(ref, words); near != "" {
		e.Hint = "did you mean " + near + "? cordon ps -a lists all sandboxes"
	}
	return e
}

func sortByAge(all []*Entry) {
	slices.SortStableFunc(all, func(a, b *Entry) int { return a.State.Created.Compare(b.State.Created) })
}

// Remove removes the entry of a sandbox that has ended. If the sandbox's launcher was killed, Remove also ends the
// processes and removes the cgroups that the launcher has left.
func (e *Entry) Remove() error {
	unlock, err := e.dir.exclusive()
	if err != nil {
		return err
	}
	defer unlock()
	if e.alive() {
		return &fail.Error{Op: "remove sandbox " + e.State.ID, Err: errors.New("it is running"), Hint: "use cordon rm -f to kill it first"}
	}
	return e.remove()
}

// Discard removes the entry of the sandbox whose launcher is this process. The sandbox must have ended, or never have
// run.
func (e *Entry) Discard() error {
	unlock, err := e.dir.exclusive()
	if err != nil {
		return err
	}
	defer unlock()
	return e.unlink()
}

func (e *Entry) remove() error {
	if err := e.killRest(); err != nil {
		return err
	}
	return e.unlink()
}

func (e *Entry) unlink() error {
	if err := e.dir.root.RemoveAll(e.base); err != nil {
		return &fail.Error{Op: "remove " + strconv.Quote(paths.Join(e.dir.path, e.base)), Err: phrase.Cause(err)}
	}
	return nil
}

// Sweep removes what killed launchers have left: directories, sockets, processes and cgroups. It returns the states of
// these launchers' sandboxes. If there is nothing to remove, Sweep is fast.
func (d *StateDir) Sweep() (swept []State, err error) {
	all, err := fs.ReadDir(d.root.FS(), ".")
	if err != nil {
		return nil, &fail.Error{Op: "state directory " + strconv.Quote(d.path), Err: phrase.Cause(err)}
	}
	var bad []error
	for _, i := range all {
		if !i.IsDir() || i.Name()[0] != '.' && !d.lost(i.Name()) {
			continue
		}
		s, err := d.sweep(i.Name())
		if err != nil {
			bad = append(bad, err)
		} else if s != nil {
			swept = append(swept, *s)
		}
	}
	return swept, damaged(bad)
}

// lost reports whether the launcher of an entry was killed.
func (d *StateDir) lost(base string) bool {
	fd, err := openRegular(d.root, paths.Join(base, lockFile), unix.O_RDWR)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist) // or the entry has just been removed; sweep checks that
	}
	e := Entry{lock: fd}
	defer fd.Close()
	return !e.alive() && e.ended() == nil
}

// sweep removes one entry, unless another process has already done so.
func (d *StateDir) sweep(base string) (*State, error) {
	unlock, err := d.exclusive()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if base[0] != '.' && !d.lost(base) {
		return nil, nil
	}
	if _, err := d.root.Lstat(base); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	e, err := d.open(base)
	if err != nil { // a process was killed while it made or removed the entry
		e = &Entry{dir: d, base: base}
		return nil, e.unlink()
	}
	defer e.close()
	return &e.State, e.remove()
}

// killRest handles a sandbox whose launcher has ended. It kills the sandbox's pid 1, which ends every process of the
// sandbox, and removes the cgroups. Usually the kernel has already killed pid 1. But the kernel may be only about to do
// so, or a v1 freezer may delay it.
func (e *Entry) killRest() error {
	fail := func(err error) error {
		return &fail.Error{Op: "clean up after sandbox " + e.State.ID, Err: err}
	}
	var init = -1
	if e.State.Init != nil && e.sameSpace() {
		switch fd, err := e.State.Init.open(); {
		case err == nil:
			init = fd
			defer unix.Close(fd)
		case err != unix.ESRCH: // pid 1 may be alive
			return fail(err)
		}
	}
	if init >= 0 {
		if err := unix.PidfdSendSignal(init, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
			return fail(err)
		}
	}
	if c := e.State.Cgroup; c != nil && e.sameBoot() && c.Exists() {
		if err := c.Kill(); err != nil {
			return fail(err)
		}
	}
	if init >= 0 && !EndsWithin(5*time.Second, init) {
		return fail(errors.New("pid " + strconv.Itoa(e.State.Init.PID) + " does not end"))
	}
	if c := e.State.Cgroup; c != nil && e.sameBoot() {
		if err := c.Remove(); err != nil {
			return fail(err)
		}
	}
	return nil
}

// EndsWithin waits until one of several processes ends, for at most d. It ignores a descriptor below 0.
func EndsWithin(d time.Duration, pidfds ...int) bool {
	fds := make([]unix.PollFd, len(pidfds))
	for i, fd := range pidfds {
		fds[i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN} //nolint:gosec // a descriptor
	}
	for deadline := time.Now().Add(d); ; {
		n, err := unix.Poll(fds, int(max(0, time.Until(deadline).Milliseconds())))
		if err != unix.EINTR {
			return err == nil && n > 0
		}
	}
}

// sameSpace reports whether the pids in the state belong to this process's pid namespace.
func (e *Entry) sameSpace() bool {
	space, err := proc.Readlink("/proc/self/ns/pid")
	return err == nil && space == e.State.PIDSpace && e.sameBoot()
}

// sameBoot reports whether the machine has not rebooted since the entry was made.
func (e *Entry) sameBoot() bool {
	boot, err := bootID()
	return err == nil && boot == e.State.Boot
}

// open returns a pidfd of exactly this process. It fails if another process has the pid now.
func (id ProcessID) open() (int, error) {
	fd, err := unix.PidfdOpen(id.PID, 0)
	if err != nil {
		return -1, err
	}
	now, err := IdentifyProcess(id.PID) // if another process has the number now, its start time differs
	if err == nil && now.Start == id.Start {
		return fd, nil
	}
	unix.Close(fd)
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return -1, unix.ESRCH
	}
	return -1, err
}

// Signal sends a signal to the task, through its launcher. SIGKILL also works if the launcher does not answer.
func (e *Entry) Signal(sig unix.Signal) error {
	_, err := e.Call("signal", SignalRequest{int(sig)}, nil)
	if err == nil || sig != unix.SIGKILL {
		return err
	}
	return e.killInit()
}

// killInit kills a sandbox by its pid 1, even if the sandbox is paused.
func (e *Entry) killInit() error {
	if e.State.Init == nil || !e.sameSpace() {
		return &fail.Error{Op: "kill sandbox " + e.State.ID, Err: errors.New("its processes are not known here")}
	}
	fd, err := e.State.Init.open()
	switch {
	case err != nil && e.State.Init.hidden() && e.alive():
		return &fail.Error{Op: "kill sandbox " + e.State.ID, Err: errors.New("its launcher does not answer, and pid " + strconv.Itoa(e.State.Init.PID) + " cannot be told from another: " + whyHidden),
			Hint: "kill -9 " + strconv.Itoa(e.State.Launcher.PID) + " ends the launcher, and the sandbox with it"}
	case err == unix.ESRCH:
		return nil // the process has ended
	case err != nil:
		return &fail.Error{Op: "kill sandbox " + e.State.ID, Err: err}
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
		return &fail.Error{Op: "kill sandbox " + e.State.ID, Err: err}
	}
	if c := e.State.Cgroup; c != nil {
		_ = c.Thaw() // a v1 freezer delays even SIGKILL; without a freezer this fails and does no harm
	}
	return nil
}
