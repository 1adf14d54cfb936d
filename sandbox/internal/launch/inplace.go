package launch

// This file does what the launcher must do for a program that runs in place, without namespaces. It makes the directory
// that replaces a tmpfs, and tells the sandbox's init to end. Without namespaces init is the guard that kills what the
// program leaves behind: see child.Guard.

import (
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/caches"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/loop"
)

// openGate makes the descriptor from which init reads before it reaps. init waits until there is something to read. The
// descriptor is a semaphore: init may wait twice, and a single read must not take the values for both. For a program in
// place it is a socket pair instead, because there init lives on for a moment after the launcher, and its read must end
// when the launcher ends.
func (p *Process) openGate() (err error) {
	if p.Comp.InPlace() {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return &fail.Error{Op: "socketpair", Err: err}
		}
		p.gate = pair[0]
		return p.files.Add(compile.FileGate, pair[1])
	}
	if p.gate, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_SEMAPHORE); err != nil {
		return &fail.Error{Op: "eventfd", Err: err}
	}
	return p.files.Dup(compile.FileGate, p.gate)
}

// guardTime is how long the init of a program in place may take to kill the remaining processes.
const guardTime = 5 * time.Second

// killSignal returns the signal that ends the sandbox. Usually that is SIGKILL, because a pid namespace ends with init.
// If there is no namespace, it is SIGTERM as soon as the task may run: this signal tells init to kill the other
// processes and to end. Before init gets that signal, the gate must have its first value, because otherwise init would
// wait for that value. p.Mu must be held.
func (p *Process) killSignal() unix.Signal {
	if p.Image == nil || p.Comp == nil || !p.Comp.InPlace() || !p.reached() {
		return unix.SIGKILL
	}
	if !p.guardTold.IsZero() && time.Since(p.guardTold) > guardTime { // init did not end by the earlier signal
		return unix.SIGKILL
	}
	if p.guardTold.IsZero() {
		p.guardTold = time.Now()
	}
	loop.Tell(p.gate)
	return unix.SIGTERM
}

// namespaceLayers are the layers that need namespaces.
var namespaceLayers = [...]policy.Layer{policy.LayerUser, policy.LayerMount, policy.LayerPID, policy.LayerIPC, policy.LayerUTS, policy.LayerNet,
	policy.LayerCgroupNS, policy.LayerSeccomp}

// lacksNamespaces reports whether a launch has failed because the host makes no namespaces: the launcher has tried a
// call, and the host has refused it.
func lacksNamespaces(err error) bool {
	var x *fail.UnsupportedError
	return errors.As(err, &x) && x.Err != nil && slices.Contains(namespaceLayers[:], x.Layer)
}

// WithoutNamespaces returns the profile with namespaces: none, if a launch has failed because the host makes no
// namespaces and the profile lists them under missing. Otherwise it returns nil.
func WithoutNamespaces(p *policy.Profile, err error) *policy.Profile {
	listed := slices.ContainsFunc(p.Missing, func(m policy.MissingLayer) bool { return m.Layer == policy.LayerInPlace })
	if !listed || p.Namespaces.None || !lacksNamespaces(err) {
		return nil
	}
	placed := *p
	placed.Namespaces = policy.Namespaces{None: true}
	return &placed
}

// privatePrefix begins the names of private directories. Digits follow it.
const privatePrefix = "cordon-in-place-"

// isPrivate reports whether a name has the form that the names of private directories have.
func isPrivate(name string) bool {
	digits, ok := strings.CutPrefix(name, privatePrefix)
	return ok && digits != "" && strings.Trim(digits, "0123456789") == ""
}

// privateDir is the directory that replaces the tmpfs mounts of the profile.
type privateDir struct {
	path string
	lock int // the directory, locked as long as the launcher lives: flock(2)
}

// makePrivate makes a directory that only the task's id may enter, and returns its path. It also removes private
// directories that killed launchers of the same user have left.
func (p *Process) makePrivate(id int) (string, error) {
	top := os.TempDir()
	failed := func(err error) (string, error) {
		return "", &fail.Error{Op: "make the program's own directory in " + top, Err: fail.Bare(err), Hint: "TMPDIR names another directory to make it in"}
	}
	if !strings.HasPrefix(top, "/") {
		return failed(errors.New("it is not an absolute path"))
	}
	sweep(top, settled)
	dir, err := os.MkdirTemp(top, privatePrefix+"*")
	if err != nil {
		return failed(err)
	}
	p.private = &privateDir{path: dir, lock: -1}
	if err = os.Chmod(dir, 0o700); err != nil { //nolint:gosec // the umask may have taken bits away
		return failed(err)
	}
	if p.private.lock, err = unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); err == nil {
		err = unix.Flock(p.private.lock, unix.LOCK_EX|unix.LOCK_NB)
	}
	if err == nil && id != 0 && p.Cmd.Profile.User.Host != "caller" {
		if err = unix.Fchown(p.private.lock, id, id); err == unix.EINVAL {
			return "", &fail.UnsupportedError{Layer: policy.LayerUser, Why: "the id is not mapped where this process runs, as in a container",
				Remedy: "--host-user caller runs the task as root", Err: err}
		}
	}
	if err != nil {
		return failed(err)
	}
	return dir, nil
}

// removePrivate removes the private directory. By then every process of the task has ended.
func (p *Process) removePrivate() {
	if p.private == nil {
		return
	}
	_ = caches.RemoveAll(p.private.path) // a later sweep removes what is left
	if p.private.lock >= 0 {
		unix.Close(p.private.lock)
	}
	p.private = nil
}

// settled is how old a private directory must be before it may be removed: a launcher makes the directory first, and
// locks it a moment later.
const settled = 10 * time.Second

// sweep removes the private directories in top that are older than age and whose launcher was killed, so that nobody
// holds their lock.
func sweep(top string, age time.Duration) {
	list, _ := os.ReadDir(top)
	for _, e := range list {
		if !isPrivate(e.Name()) || !e.IsDir() {
			continue
		}
		dir := top + "/" + e.Name()
		fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil && ownPrivate(st.Uid) && time.Since(time.Unix(st.Ctim.Unix())) > age && unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) == nil {
			_ = caches.RemoveAll(dir) // the next launch tries again
		}
		unix.Close(fd)
	}
}

// ownPrivate reports whether a directory of the given owner can be one of this user's private directories: the owner is
// the user, or a task that root has started.
func ownPrivate(uid uint32) bool {
	own := uint32(os.Getuid())
	return uid == own || own == 0 && uid >= compile.FirstTaskID && uid <= compile.LastTaskID
}
