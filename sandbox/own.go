package sandbox

// What decides on the next run: the profiles of this one, the directories where profiles are looked for, and the records
// of what sandboxes could write (package ledger). A task can write none of them, and put nothing in their place, whatever
// its profile binds.

import (
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
)

// makeOwn makes the directories that are not there and that the task could make. Nothing can be mounted on what does not
// exist.
func (c *compilation) makeOwn() error {
	if c.asItIs() {
		return nil
	}
	h := c.hider()
	if !h.writes {
		return nil
	}
	for _, dir := range c.req.Search {
		if err := h.makeMissing(dir, "profile directory"); err != nil {
			return err
		}
	}
	for _, place := range c.host.Records {
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
	w := walker{tree: h.c.hostTree()}
	missing, err := w.walk(paths.Clean(dir))
	if !fail.NotThere(err) {
		return nil // it is there, or nobody can look
	}
	above, _ := paths.Split(missing)
	writes, err := h.couldMake(above)
	if err != nil || !writes || h.c.req.MakeDir == nil {
		return err
	}
	full, err := h.c.hostTree().resolve(paths.Clean(dir))
	if err == nil {
		err = h.c.req.MakeDir(full)
	}
	if err != nil {
		return &Error{Op: "make the " + what + " " + dir, Err: fail.Bare(err),
			Hint: "the program could make it, and so decide on later runs: make it yourself, or let the sandbox write less than " + above}
	}
	for at := missing; ; at = full[:len(at)+1+len(firstName(full[len(at)+1:]))] {
		delete(h.c.tree.known, at)
		if at == full {
			break
		}
	}
	h.c.note("made " + dir + ", which the program could have made itself; it cannot write there")
	return nil
}

func firstName(path string) string {
	name, _, _ := strings.Cut(path, "/")
	return name
}

// couldMake reports whether the task can make something in a directory of the host.
func (h *hider) couldMake(host string) (bool, error) {
	if h.c.host.Files.Access(host, unix.W_OK) != nil {
		return false, nil
	}
	places, err := h.c.places(h.windows, host)
	for _, place := range places {
		if p := h.c.tree.at(place); p.write && !p.layer && !p.opaque {
			return true, nil
		}
	}
	return false, err
}

// guardOwn makes what decides on the next run read-only, and covers the records.
func (c *compilation) guardOwn() error {
	if c.asItIs() {
		return nil
	}
	h := c.hider()
	h.from = own("records")
	for _, place := range c.host.Records {
		if !h.writes && c.ids.own && c.host.UID == 0 {
			continue // root's own, which the task's id may not search
		}
		if err := h.path(place.Path()); err != nil {
			return &Error{Op: "hide " + place.Path(), Err: err}
		}
	}
	if !h.writes {
		return nil
	}
	h.from = own("profiles")
	for i := range c.req.Profiles {
		if err := h.protect(c.req.Profiles[i].Path); err != nil {
			return err
		}
	}
	for _, dir := range c.req.Search {
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
	w := walker{tree: h.c.hostTree(), visit: func(p string) { passed = append(passed, p) }}
	end, err := w.walk(paths.Clean(path))
	if err = h.unsearchable(&end, err); err == nil && end != "" {
		for _, p := range passed {
			if p != end {
				h.holdOnHost(p)
			}
		}
		err = h.protectThing(end)
	}
	if err != nil {
		return &Error{Op: "protect " + path, Err: err}
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
