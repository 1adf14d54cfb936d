package proc

// This file parses the mount table: proc_pid_mountinfo(5).

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"

	"cordon/sandbox/internal/paths"
)

// MountEntry is one line of the mount table.
type MountEntry struct {
	ID, parent string
	Point      string
	Device     string // the device of the file system, as major:minor
	Root       string // the path within the file system that is mounted, escaped as in the table
	Options    string // the options of the mount itself
	FSType     string
	Source     string
	Super      string // the file system's options
}

// MountTable holds the mounts of a table.
type MountTable struct {
	List []MountEntry
	on   map[mountKey]int // the index of the mount on a mount point, by its parent
	ByID map[string]int
}

type mountKey struct{ parent, point string }

// Covered reports whether another mount covers the root mount. A process whose root is the lower mount does not see the
// upper one.
func (t *MountTable) Covered() bool {
	for i := range t.List {
		m := &t.List[i]
		if _, above := t.ByID[m.parent]; m.Point == "/" && !above {
			_, covered := t.on[mountKey{m.ID, "/"}]
			return covered
		}
	}
	return false
}

// ParseMounts reads a mountinfo file: proc_pid_mountinfo(5).
func ParseMounts(text []byte) (*MountTable, error) {
	n := bytes.Count(text, []byte{'\n'})
	t := &MountTable{List: make([]MountEntry, 0, n), on: make(map[mountKey]int, n), ByID: make(map[string]int, n)}
	for line := range strings.Lines(string(text)) { // the fields of all mounts share the memory of this string
		m, ok := mountLine(line)
		if !ok {
			return nil, errors.New("unexpected line " + strconv.Quote(line))
		}
		t.on[mountKey{m.parent, m.Point}] = len(t.List)
		t.ByID[m.ID] = len(t.List)
		t.List = append(t.List, m)
	}
	return t, nil
}

// Reachable reports whether a path leads to a mount: no other mount covers it, or a directory on the way from the root
// to it.
func (t *MountTable) Reachable(m *MountEntry) bool {
	if _, covered := t.on[mountKey{m.ID, m.Point}]; covered {
		return false
	}
	for depth := 0; depth <= len(t.List); depth++ {
		up, ok := t.ByID[m.parent]
		if !ok {
			return true // its parent is not in the table, so it is the root
		}
		parent := &t.List[up]
		if m.Point != parent.Point && t.between(m, parent) {
			return false
		}
		m = parent
	}
	return false
}

// between reports whether another mount of the same parent, at m's mount point or above, hides m.
func (t *MountTable) between(m, parent *MountEntry) bool {
	for dir, _ := paths.Split(m.Point); ; dir, _ = paths.Split(dir) {
		if _, ok := t.on[mountKey{parent.ID, dir}]; ok {
			return true
		}
		if dir == parent.Point || dir == "/" {
			return false
		}
	}
}

// ParseMount parses one line of the table: ID parent major:minor root point options … - type source super-options.
func ParseMount(line []byte) (m MountEntry, ok bool) { return mountLine(string(line)) }

// mountLine does the same as ParseMount for a string. The entry's fields are substrings of the string.
func mountLine(line string) (m MountEntry, ok bool) {
	var f [6]string
	rest := line
	for i := range f {
		if f[i], rest, ok = strings.Cut(rest, " "); !ok {
			return m, false
		}
	}
	_, rest, _ = strings.Cut(rest, "- ") // after the optional fields, which contain no dash
	fstype, rest, _ := strings.Cut(rest, " ")
	source, super, _ := strings.Cut(rest, " ")
	m = MountEntry{f[0], f[1], Unescape(f[4]), f[2], f[3], f[5], fstype, source, strings.TrimSuffix(super, "\n")}
	return m, strings.HasPrefix(m.Point, "/")
}

// Unescape decodes the octal escapes of space, tab, newline and backslash.
func Unescape(s string) string {
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

// Layers returns the directories of an overlay in the form in which they were given when it was mounted. For another
// file system it returns none. A name without a leading "/" was relative to the working directory of the process that
// mounted it.
func (m *MountEntry) Layers() (dirs []string) {
	if m.FSType != "overlay" {
		return nil
	}
	for option := range strings.SplitSeq(m.Super, ",") {
		name, list, _ := strings.Cut(option, "=")
		switch name {
		case "lowerdir", "lowerdir+", "datadir+", "upperdir":
			for dir := range strings.SplitSeq(Unescape(list), ":") {
				if dir != "" { // "::" precedes a layer that contains only data
					dirs = append(dirs, dir)
				}
			}
		}
	}
	return dirs
}

// HasOption reports whether a mount has an option.
func HasOption(options, name string) bool {
	for option := range strings.SplitSeq(options, ",") {
		if option == name {
			return true
		}
	}
	return false
}

// MountsBelow reports whether the table has a mount below a directory, even a covered one.
func (t *MountTable) MountsBelow(dir string) bool {
	return slices.ContainsFunc(t.List, func(m MountEntry) bool { return m.Point != dir && paths.Below(m.Point, dir) })
}

// diskTypes lists the file systems on whose directories the launcher mounts overlays. It also does so on the file
// system of "/", of whatever type. A bind of a directory on any other file system, such as those of the kernel, in
// memory or on a network, is read-only without an overlay.
var diskTypes = [...]string{"bcachefs", "btrfs", "erofs", "ext2", "ext3", "ext4", "f2fs", "jfs", "nilfs2", "overlay", "reiserfs", "squashfs", "xfs", "zfs"}

// OnDisk reports whether a directory lies on a file system on which the launcher mounts overlays.
func (t *MountTable) OnDisk(dir string) bool {
	var found *MountEntry
	for i := range t.List {
		m := &t.List[i]
		if !paths.Below(dir, m.Point) || !t.Reachable(m) {
			continue
		}
		if found == nil || len(m.Point) > len(found.Point) {
			found = m
		}
	}
	return found != nil && (found.Point == "/" || slices.Contains(diskTypes[:], found.FSType))
}
