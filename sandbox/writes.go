package sandbox

// What the task can write of the host's files is recorded for as long as it can: package ledger says why.

import (
	"slices"

	"cordon/sandbox/internal/paths"
)

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
		if paths.Below(path, dir) {
			return !paths.Below(path, "/dev/shm")
		}
	}
	return false
}
