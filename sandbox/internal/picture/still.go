package picture

import (
	"slices"

	"cordon/sandbox/internal/paths"
)

// WritesAbove reports whether a directory of the host is part of one that is writable inside. An overlay of it would keep
// nobody away, since a socket may as well lie beside it.
func (t *Tree) WritesAbove(src string) bool {
	return slices.ContainsFunc(t.Parts, func(p Part) bool { return p.HostsWrites() && paths.Below(src, p.Source) })
}
