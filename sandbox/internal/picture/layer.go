package picture

import (
	"io/fs"
	"strings"

	"cordon/sandbox/internal/paths"
)

// layered is the place on the host behind a path of an overlay that keeps its changes: in the upper directory where
// something is there, otherwise in the lower. It is "" where a whiteout says that the path is gone. What an opaque
// directory (overlayfs) leaves of the lower one is not looked at.
func (t *Tree) layered(p *Part, rest string) string {
	upper, lower := p.Upper, p.Source
	for more := true; more; {
		var name string
		name, rest, more = strings.Cut(rest, "/")
		upper, lower = paths.Join(upper, name), paths.Join(lower, name)
		info, err := t.Lstat(upper)
		switch {
		case err != nil && more:
			return paths.Join(lower, rest)
		case err != nil:
			return lower
		case info.Mode()&fs.ModeCharDevice != 0:
			return ""
		case info.IsDir():
		case more:
			return ""
		default:
			return upper
		}
	}
	if info, err := t.Lstat(lower); err == nil && info.IsDir() {
		return lower // both are shown as one
	}
	return upper
}
