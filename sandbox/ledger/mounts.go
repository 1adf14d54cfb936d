package ledger

import (
	"bytes"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/proc"
)

// mount is a line of the mount table: proc_pid_mountinfo(5).
type mount struct{ device, root, point string }

// mountTable returns the caller's mount table, or nil if it cannot be read.
func mountTable() (list []mount) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	for line := range bytes.Lines(text) {
		if m, ok := proc.ParseMount(line); ok {
			list = append(list, mount{m.Device, proc.Unescape(m.Root), m.Point})
		}
	}
	return list
}

// place returns the device of the file system on which a path lies, and the path within that file system.
func place(table []mount, path string) (device, inside string) {
	best := -1
	for i := range table {
		if paths.Below(path, table[i].point) && (best < 0 || len(table[i].point) >= len(table[best].point)) {
			best = i
		}
	}
	if best < 0 {
		return "", path
	}
	return table[best].device, joined(table[best].root, path[len(table[best].point):])
}

func joined(dir, rest string) string {
	return "/" + strings.Trim(strings.TrimSuffix(dir, "/")+"/"+strings.TrimPrefix(rest, "/"), "/")
}

// elsewhere does what judge does, for a file that is reached through another mount of the same file system. The file is
// in a directory that a run could write, but the file's path does not go through that directory's path.
func (r *runs) elsewhere(table []mount, steps []Step) *Finding {
	if len(steps) == 0 || !slices.ContainsFunc(table, func(m mount) bool { return m.root != "/" }) {
		return nil
	}
	moved := slices.Clone(steps)
	devices := make([]string, len(steps))
	for i := range moved {
		devices[i], moved[i].Path = place(table, steps[i].Path)
	}
	for _, d := range r.dirs {
		device, inside := place(table, d.path)
		var same []Step
		for i := range moved {
			if devices[i] == device && moved[i].Mode&unix.S_IFMT != 0 {
				same = append(same, moved[i])
			}
		}
		if f := d.judgeBelow(same, inside); f != nil {
			f.Step.Path = steps[len(steps)-1].Path
			return f
		}
	}
	return nil
}
