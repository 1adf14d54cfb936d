package picture

import (
	"slices"

	"cordon/sandbox/internal/paths"
)

// ShowsBelow reports quickly whether the sandbox may show a path of the host: some part has it, or what it is in.
func (t *Tree) ShowsBelow(host string) bool {
	for i := range t.Parts {
		if p := &t.Parts[i]; p.Source != "" && !p.File && paths.Below(host, p.Source) {
			return true
		}
	}
	return false
}

// ShowsLater reports whether the task could connect to a socket that somebody makes later in a directory of the host.
func (p *Part) ShowsLater() bool {
	return p.Source != "" && !p.File && !p.Opaque && !p.Layer && !p.Still && p.Guard == 0 &&
		!slices.ContainsFunc(QuietDirs[:], func(dir string) bool { return paths.Below(p.Source, dir) })
}

// HostsWrites reports whether a part is a directory of the host that the task may write to.
func (p *Part) HostsWrites() bool {
	return p.Write && p.Source != "" && !p.File && !p.Opaque && !p.Layer && p.Guard == 0 && !paths.Below(p.Source, "/proc")
}

// HostBelow reports whether something of the host is mounted below a path.
func (t *Tree) HostBelow(path string) bool {
	return slices.ContainsFunc(t.Parts, func(p Part) bool { return p.Source != "" && p.Target != path && paths.Below(p.Target, path) })
}
