package compile

// The state directory is out of the task's reach under every profile: it decides which processes other commands signal,
// and its sockets are the launchers'. Covering it is not all: a task that runs as the user could make one where there is
// none yet, or move away the directory that it is in and put its own in the place.

import (
	"errors"

	"golang.org/x/sys/unix"

	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
)

// hideState covers the state directories wherever the sandbox would show them.
func (c *Compilation) hideState() error {
	if c.AsItIs() {
		return nil // nothing is kept from the caller's own program
	}
	for _, dir := range c.Host.StateDirs() {
		if err := c.hideStateDir(dir); err != nil {
			return err
		}
	}
	return nil
}

func (c *Compilation) hideStateDir(dir string) error {
	fail := func(err error, hint string) error {
		return &fail.Error{Op: "hide the state directory " + dir, Err: err, Hint: hint}
	}
	h := c.hider()
	h.from = own("state directory")
	if err := h.path(dir); err != nil {
		return fail(err, "")
	}
	// The directory it is in may be written to: what is covered cannot be moved or removed (EBUSY). Those above may not.
	for parent, _ := paths.Split(dir); parent != "/"; parent, _ = paths.Split(parent) {
		above, _ := paths.Split(parent)
		if c.writable(above) && !c.mountPoint(parent, above) {
			return fail(errors.New("the sandbox may write "+above+", and could put another directory in the place of "+parent),
				"let it write less than "+above+", or keep the state elsewhere: "+host.RuntimeDirRemedy)
		}
	}
	return nil
}

// writable reports whether the task can make and move things in a directory of the host.
func (c *Compilation) writable(host string) bool {
	for _, view := range c.views(host) {
		if p := c.Tree.At(view); p.Write && !p.Layer && c.Host.Files.Access(host, unix.W_OK) == nil {
			return true
		}
	}
	return false
}

// mountPoint reports whether something is mounted on a directory, which then cannot be moved.
func (c *Compilation) mountPoint(dir, above string) bool {
	its, err := c.Host.Files.Lstat(dir)
	if err != nil {
		return false
	}
	other, err := c.Host.Files.Lstat(above)
	if err != nil {
		return false
	}
	a, ok := host.StatOf(its)
	b, okAbove := host.StatOf(other)
	return ok && okAbove && a.Dev != b.Dev
}

// views are the paths at which the sandbox shows a directory of the host: the part that holds it, and every bind of it or
// of what it is in.
func (c *Compilation) views(host string) (list []string) {
	for i := range c.Tree.Parts {
		p := &c.Tree.Parts[i]
		if p.Source == "" || p.Opaque || p.File || !paths.Below(host, p.Source) {
			continue
		}
		view := paths.Moved(host, p.Source, p.Target)
		if c.Tree.HostPath(view) == host {
			list = append(list, view)
		}
	}
	return list
}
