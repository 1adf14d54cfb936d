package sandbox

// The table of mounts: proc_pid_mountinfo(5).

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// mountEntry is a line of the table.
type mountEntry struct {
	id, parent string
	point      string
	device     string // of the file system: major:minor
	root       string // the place of the file system that is mounted, escaped as in the table
	options    string // of the mount itself
	fstype     string
	source     string
}

// mountTable finds a mount by what it is mounted on.
type mountTable struct {
	list []mountEntry
	on   map[mountKey]int // the index of the mount at a point of a parent
	byID map[string]int
}

type mountKey struct{ parent, point string }

func parseMounts(text []byte) (*mountTable, error) {
	n := bytes.Count(text, []byte{'\n'})
	t := &mountTable{list: make([]mountEntry, 0, n), on: make(map[mountKey]int, n), byID: make(map[string]int, n)}
	for line := range bytes.Lines(text) {
		m, ok := mountLine(line)
		if !ok {
			return nil, errors.New("unexpected line " + strconv.Quote(string(line)))
		}
		t.on[mountKey{m.parent, m.point}] = len(t.list)
		t.byID[m.id] = len(t.list)
		t.list = append(t.list, m)
	}
	return t, nil
}

// reachable reports whether a path leads to a mount: nothing is stacked on it, and on the way from the root to it
// nothing else is mounted. The way is that of its parents.
func (t *mountTable) reachable(m *mountEntry) bool {
	if _, covered := t.on[mountKey{m.id, m.point}]; covered {
		return false
	}
	for depth := 0; depth <= len(t.list); depth++ {
		up, ok := t.byID[m.parent]
		if !ok {
			return true // the root: its parent is not in the table
		}
		parent := &t.list[up]
		if m.point != parent.point && t.between(m, parent) {
			return false
		}
		m = parent
	}
	return false
}

// between reports whether the parent has another mount at or above m's point, which leads away from m.
func (t *mountTable) between(m, parent *mountEntry) bool {
	for dir, _ := splitPath(m.point); ; dir, _ = splitPath(dir) {
		if _, ok := t.on[mountKey{parent.id, dir}]; ok {
			return true
		}
		if dir == parent.point || dir == "/" {
			return false
		}
	}
}

// mountLine takes what matters out of a line: ID parent major:minor root point options …
func mountLine(line []byte) (m mountEntry, ok bool) {
	var f [6]string
	rest := string(line)
	for i := range f {
		if f[i], rest, ok = strings.Cut(rest, " "); !ok {
			return m, false
		}
	}
	_, rest, _ = strings.Cut(rest, "- ") // behind optional fields, which have no dash
	fstype, rest, _ := strings.Cut(rest, " ")
	source, _, _ := strings.Cut(rest, " ")
	m = mountEntry{f[0], f[1], unescape(f[4]), f[2], f[3], f[5], fstype, source}
	return m, strings.HasPrefix(m.point, "/")
}

// unescape undoes the octal escapes of space, tab, newline and backslash.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(v))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func hasOption(options, name string) bool {
	for option := range strings.SplitSeq(options, ",") {
		if option == name {
			return true
		}
	}
	return false
}

// mountsBelow reports whether anything is mounted below a directory, covered or not.
func (t *mountTable) mountsBelow(dir string) bool {
	return slices.ContainsFunc(t.list, func(m mountEntry) bool { return m.point != dir && below(m.point, dir) })
}

// diskTypes are file systems whose directories are overlaid; besides, that at "/" is, whatever it is. What the kernel
// makes up, and what lies in memory or on a network, stays read-only.
var diskTypes = [...]string{"bcachefs", "btrfs", "erofs", "ext2", "ext3", "ext4", "f2fs", "jfs", "nilfs2", "overlay", "reiserfs", "squashfs", "xfs", "zfs"}

// onDisk reports whether a directory lies on a file system that is overlaid.
func (t *mountTable) onDisk(dir string) bool {
	var found *mountEntry
	for i := range t.list {
		m := &t.list[i]
		if !below(dir, m.point) || !t.reachable(m) {
			continue
		}
		if found == nil || len(m.point) > len(found.point) {
			found = m
		}
	}
	return found != nil && (found.point == "/" || slices.Contains(diskTypes[:], found.fstype))
}
