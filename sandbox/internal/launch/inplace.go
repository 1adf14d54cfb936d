package launch

// What the launcher does for a program that runs in place, without namespaces. It makes the directory that replaces a
// tmpfs, and tells the sandbox's init to end. There init is the guard that kills what the program leaves behind: see
// child.Guard.

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

// openGate makes the descriptor from which init reads, and so waits, before it reaps. It is a semaphore: init may wait
// twice, and one read must not take the values for both. For a program in place it is a socket pair instead, because
// init survives the launcher for a moment, and its read must end when the launcher ends.
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

// guardTime is how long the init of a program in place may take to kill the processes that are left.
const guardTime = 5 * time.Second

// killSignal returns the signal that ends the sandbox. If there is no pid namespace, which would end with init, it
// is a signal that tells init to kill the other processes and to end, as soon as the task may run. Before that signal,
// the gate must have its first value, or init would wait for it. p.Mu must be held.
func (p *Process) killSignal() unix.Signal {
	if p.Image == nil || p.Comp == nil || !p.Comp.InPlace() || !p.reached() {
		return unix.SIGKILL
	}
	if !p.guardTold.IsZero() && time.Since(p.guardTold) > guardTime { // it did not end by that
		return unix.SIGKILL
	}
	if p.guardTold.IsZero() {
		p.guardTold = time.Now()
	}
	loop.Tell(p.gate)
	return unix.SIGTERM
}

// namespaceLayers are the layers that namespaces are for.
var namespaceLayers = [...]policy.Layer{policy.LayerUser, policy.LayerMount, policy.LayerPID, policy.LayerIPC, policy.LayerUTS, policy.LayerNet,
	policy.LayerCgroupNS, policy.LayerSeccomp}

// lacksNamespaces reports whether a launch has failed because the host makes no namespaces: a call was tried and
// refused.
func lacksNamespaces(err error) bool {
	var x *fail.UnsupportedError
	return errors.As(err, &x) && x.Err != nil && slices.Contains(namespaceLayers[:], x.Layer)
}

// WithoutNamespaces returns the profile with namespaces: none, if a launch has failed because the host makes none and
// the profile lists them under missing. Otherwise it returns nil.
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

// isPrivate reports whether a private directory may have that name.
func isPrivate(name string) bool {
	digits, ok := strings.CutPrefix(name, privatePrefix)
	return ok && digits != "" && strings.Trim(digits, "0123456789") == ""
}

// privateDir is the directory that stands in for the tmpfs mounts of the profile.
type privateDir struct {
	path string
	lock int // the directory, locked as long as the launcher lives: flock(2)
}

// makePrivate makes a directory that only the task's id may enter, and returns its path. It also removes those that
// killed launchers of the same user have left.
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

// removePrivate removes the directory. Every process of the task has ended.
func (p *Process) removePrivate() {
	if p.private == nil {
		return
	}
	_ = caches.RemoveAll(p.private.path) // what cannot be removed is swept away later
	if p.private.lock >= 0 {
		unix.Close(p.private.lock)
	}
	p.private = nil
}

// settled is how old a directory must be to be removed, because a launcher locks it a moment after it has made it.
const settled = 10 * time.Second

// sweep removes the private directories in top whose launcher was killed: nobody holds their lock, and they are older
// than age.
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
			_ = caches.RemoveAll(dir) // it is tried again by the next launch
		}
		unix.Close(fd)
	}
}

// ownPrivate reports whether a directory of that owner can be one of this user's: the user's own, or one of a task
// that root has started.
func ownPrivate(uid uint32) bool {
	own := uint32(os.Getuid())
	return uid == own || own == 0 && uid >= compile.FirstTaskID && uid <= compile.LastTaskID
}
