package compile

// What decides on the next run: the profiles of this one, the directories where profiles are looked for, and the records
// of what sandboxes could write (package ledger). A task can write none of them, and put nothing in their place, whatever
// its profile binds.

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
)

// makeOwn makes the directories that are not there and that the task could make. Nothing can be mounted on what does not
// exist.
func (c *Compilation) makeOwn() error {
	if c.AsItIs() {
		return nil
	}
	h := c.hider()
	if !h.writes {
		return nil
	}
	for _, dir := range c.Req.Search {
		if err := h.makeMissing(dir, "profile directory"); err != nil {
			return err
		}
	}
	for _, place := range c.Host.Records {
		if err := h.makeMissing(place.Path(), "record of what sandboxes could write"); err != nil {
			return err
		}
	}
	return nil
}

// makeMissing makes one directory if the task could.
func (h *hider) makeMissing(dir, what string) error {
	if !strings.HasPrefix(dir, "/") {
		return nil
	}
	w := picture.Walker{Tree: h.c.hostTree()}
	missing, err := w.Walk(paths.Clean(dir))
	if !fail.NotThere(err) {
		return nil // it is there, or nobody can look
	}
	above, _ := paths.Split(missing)
	writes, err := h.couldMake(above)
	if err != nil || !writes || h.c.Req.MakeDir == nil {
		return err
	}
	full, err := h.c.hostTree().Resolve(paths.Clean(dir))
	if err == nil {
		err = h.c.Req.MakeDir(full)
	}
	if err != nil {
		return &fail.Error{Op: "make the " + what + " " + dir, Err: fail.Bare(err),
			Hint: "the program could make it, and so decide about later runs: make it yourself, or let the sandbox write less than " + above}
	}
	for at := missing; ; at = full[:len(at)+1+len(firstName(full[len(at)+1:]))] {
		delete(h.c.Tree.Known, at)
		if at == full {
			break
		}
	}
	h.c.note("made " + dir + ", because the program could have made it; the program cannot write there")
	return nil
}

func firstName(path string) string {
	name, _, _ := strings.Cut(path, "/")
	return name
}

// couldMake reports whether the task can make something in a directory of the host.
func (h *hider) couldMake(host string) (bool, error) {
	if h.c.Host.Files.Access(host, unix.W_OK) != nil {
		return false, nil
	}
	places, err := h.c.places(h.windows, host)
	for _, place := range places {
		if p := h.c.Tree.At(place); p.Write && !p.Layer && !p.Opaque {
			return true, nil
		}
	}
	return false, err
}

// guardOwn makes what decides on the next run read-only, and covers the records.
func (c *Compilation) guardOwn() error {
	if c.AsItIs() {
		return nil
	}
	h := c.hider()
	h.from = own("records")
	for _, place := range c.Host.Records {
		if !h.writes && c.IDs.Own && c.Host.UID == 0 {
			continue // root's own, which the task's id may not search
		}
		if err := h.path(place.Path()); err != nil {
			return &fail.Error{Op: "hide " + place.Path(), Err: err}
		}
	}
	if !h.writes {
		return nil
	}
	h.from = own("profiles")
	for i := range c.Req.Profiles {
		if err := h.protect(c.Req.Profiles[i].Path); err != nil {
			return err
		}
	}
	for _, dir := range c.Req.Search {
		if err := h.protect(dir); err != nil {
			return err
		}
	}
	return nil
}

// protect makes a thing of the host read-only wherever the sandbox shows it, and keeps in their places the names that lead
// to it.
func (h *hider) protect(path string) error {
	if !strings.HasPrefix(path, "/") || paths.Below(path, "/proc") {
		return nil
	}
	var passed []string
	w := picture.Walker{Tree: h.c.hostTree(), Visit: func(p string) { passed = append(passed, p) }}
	end, err := w.Walk(paths.Clean(path))
	if err = h.unsearchable(&end, err); err == nil && end != "" {
		for _, p := range passed {
			if p != end {
				h.holdOnHost(p)
			}
		}
		err = h.protectThing(end)
	}
	if err != nil {
		return &fail.Error{Op: "protect " + path, Err: err}
	}
	return nil
}

func (h *hider) protectThing(host string) error {
	places, err := h.c.places(h.windows, host)
	if err != nil {
		return err
	}
	for _, place := range places {
		if err := h.c.protect(h.from, place, policy.Pos{}); err != nil {
			return err
		}
	}
	return nil
}

// What the task can write of the host's files is recorded for as long as it can: package ledger says why.

// Writes are the files and directories of the host that the task can write, below every mount point.
func (c *Compilation) Writes() []string {
	if c.AsItIs() {
		return nil // the caller's own program, in the caller's own tree
	}
	var list []string
	for _, l := range c.layers {
		list = append(list, l.path)
	}
	for i := range c.Tree.Parts {
		p := &c.Tree.Parts[i]
		if p.Write && !p.Layer && p.Guard == 0 && p.Source != "" && !ofKernel(p.Source) {
			list = append(list, p.Source)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// ofKernel reports whether a path is a device or of the kernel's own file systems: nobody keeps a profile there.
func ofKernel(path string) bool {
	for _, dir := range [...]string{"/proc", "/sys", "/dev"} {
		if paths.Below(path, dir) {
			return !paths.Below(path, "/dev/shm")
		}
	}
	return false
}
