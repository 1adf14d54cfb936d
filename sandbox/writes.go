package sandbox

// What the task can write of the host's files is recorded for as long as it can: package ledger says why.

import (
	"errors"
	"os"
	"slices"

	"cordon/sandbox/ledger"
)

// recordWrites puts on record what the task can write. A sandbox that writes nothing of the host leaves no record; one
// that joins another is within the other's.
func (p *process) recordWrites() (err error) {
	if p.comp.into != nil {
		return nil
	}
	paths := p.comp.writes()
	if len(paths) == 0 {
		return nil
	}
	places := p.comp.host.Records
	if places == nil { // a Host that the caller made
		places = ledger.Places(os.Getenv)
	}
	p.writes, err = ledger.Begin(places, paths, p.cmd.Profiles)
	var known *ledger.Error
	if errors.As(err, &known) {
		return &Error{Op: known.Op, Err: known.Err, Hint: known.Hint}
	}
	return err
}

// writes are the files and directories of the host that the task can write, below every mount point.
func (c *compilation) writes() []string {
	if c.asItIs() {
		return nil // the caller's own program, in the caller's own tree
	}
	var list []string
	for _, l := range c.layers {
		list = append(list, l.path)
	}
	for i := range c.tree.parts {
		p := &c.tree.parts[i]
		if p.write && !p.layer && p.guard == 0 && p.source != "" && !ofKernel(p.source) {
			list = append(list, p.source)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// ofKernel reports whether a path is a device or of the kernel's own file systems: nobody keeps a profile there.
func ofKernel(path string) bool {
	for _, dir := range [...]string{"/proc", "/sys", "/dev"} {
		if below(path, dir) {
			return !below(path, "/dev/shm")
		}
	}
	return false
}
