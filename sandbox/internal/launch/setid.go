package launch

// The launcher reads back that a directory is private.

import (
	"errors"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/internal/walk"
)

// checkPrivate looks again at what the task may write, now that it is mounted: that it is the directory that was looked at,
// and still private.
func (p *Process) checkPrivate() error {
	if p.Comp.Private == nil {
		return nil
	}
	root, err := unix.Open("/proc/"+strconv.Itoa(p.Task)+"/root", walk.OpenDir, 0)
	if err != nil {
		return &fail.Error{Op: "read back the mounts", Err: err}
	}
	defer unix.Close(root)
	for i := range p.Comp.Tree.Parts {
		part := &p.Comp.Tree.Parts[i]
		in := func(dir string) bool { return paths.Below(part.Source, dir) }
		if !part.Write || part.Layer || part.Opaque || !slices.ContainsFunc(p.Comp.Private, in) || p.Comp.Tree.At(part.Target) != part {
			continue
		}
		if err := samePrivate(root, part); err != nil {
			return &fail.Error{Op: part.Source, Err: err, From: part.Rule.Short(),
				Hint: "set-id bits are allowed there, so the directory must stay below one that is only yours"}
		}
	}
	return nil
}

func samePrivate(root int, part *picture.Part) error {
	inside, err := walk.InRoot(root, part.Target, walk.OpenDir)
	if err != nil {
		return err
	}
	defer unix.Close(inside)
	outside, err := walk.NoLinks(part.Source, walk.OpenDir)
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
