package sandbox

// The launcher reads back that a directory is private.

import (
	"errors"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"cordon/sandbox/host"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/walk"
)

// checkPrivate looks again at what the task may write, now that it is mounted: that it is the directory that was looked at,
// and still private.
func (p *process) checkPrivate() error {
	if p.comp.private == nil {
		return nil
	}
	root, err := unix.Open("/proc/"+strconv.Itoa(p.task)+"/root", walk.OpenDir, 0)
	if err != nil {
		return &Error{Op: "read back the mounts", Err: err}
	}
	defer unix.Close(root)
	for i := range p.comp.tree.parts {
		part := &p.comp.tree.parts[i]
		in := func(dir string) bool { return paths.Below(part.source, dir) }
		if !part.write || part.layer || part.opaque || !slices.ContainsFunc(p.comp.private, in) || p.comp.tree.at(part.target) != part {
			continue
		}
		if err := samePrivate(root, part); err != nil {
			return &Error{Op: part.source, Err: err, From: part.rule.Short(),
				Hint: "set-id bits are allowed there, so the directory must stay below one that is only yours"}
		}
	}
	return nil
}

func samePrivate(root int, part *part) error {
	inside, err := walk.InRoot(root, part.target, walk.OpenDir)
	if err != nil {
		return err
	}
	defer unix.Close(inside)
	outside, err := walk.NoLinks(part.source, walk.OpenDir)
	if err != nil {
		return err
	}
	defer unix.Close(outside)
	var a, b unix.Stat_t
	if err := unix.Fstat(inside, &a); err != nil {
		return err
	}
	if err := unix.Fstat(outside, &b); err != nil {
		return err
	}
	if a.Dev != b.Dev || a.Ino != b.Ino {
		return errors.New("has been replaced meanwhile")
	}
	return host.PrivateAbove(outside)
}
