package compile

// What the task can write of the host's files is recorded for as long as it can: package ledger says why.

import (
	"slices"

	"cordon/sandbox/internal/paths"
)

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
