package ledger

import (
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/paths"
)

// slack is how much two clocks may differ if the ledger is to assume that nobody has set one of them.
const slack = int64(50 * time.Millisecond)

// Finding is the reason why a task may have written a file.
type Finding struct {
	Step       Step // the component of the path that a task may have written, made or moved
	Dir        string
	Start, End int64 // when the run began and ended; End is math.MaxInt64 if it has not ended
	Clock      bool  // Step is on a file system whose times prove nothing
	Others     bool  // this is not about a run: another user than root can write Step, and the caller is root
}

// file reports whether the finding is about the file itself, and not about a directory or link in its path.
func (f *Finding) file() bool { return f.Step.Mode&unix.S_IFMT == unix.S_IFREG }

// judge looks for a run that may have decided to which file a path leads: a run that could write a directory of the
// path, and was active when a component below that directory changed. If there are several findings, judge returns one
// about the file itself first.
func (r *runs) judge(steps []Step) *Finding {
	var found *Finding
	for _, d := range r.dirs {
		if f := d.judge(steps); f != nil && (found == nil || f.file()) {
			if found = f; f.file() {
				return f
			}
		}
	}
	return found
}

func (d *dir) judge(steps []Step) *Finding {
	top := d.on(steps)
	if top < 0 {
		return nil
	}
	return d.givenAs(&steps[top]).judgeBelow(steps, steps[top].Path)
}

// givenAs returns d without the runs to which the directory of step s cannot have been given. A file system may reuse
// the inode number of a removed directory. If the directory of s is such a new directory, it was made after these runs
// had begun.
func (d *dir) givenAs(s *Step) *dir {
	if s.Path == d.path || s.Born == 0 {
		return d
	}
	given := *d
	given.spans = slices.DeleteFunc(slices.Clone(d.spans), func(t span) bool {
		if t.id == 0 {
			return t.end < s.Born // the span is of merged runs, and the start of the last one is unknown
		}
		return t.begun < s.Born-slack
	})
	return &given
}

// judgeBelow examines the components of a path below a directory that runs could write.
func (d *dir) judgeBelow(steps []Step, top string) (found *Finding) {
	for i := range steps {
		s := &steps[i]
		kind := s.Mode & unix.S_IFMT
		if !paths.Below(s.Path, top) || kind == unix.S_IFDIR && s.Path == top {
			continue // a run cannot move the directory that it was given
		}
		for _, span := range d.spans {
			f := &Finding{Step: *s, Dir: d.path, Start: span.start, End: span.end}
			f.Clock = !s.Stamped && kind == unix.S_IFREG
			if (f.Clock || span.touched(s)) && (found == nil || f.file()) {
				found = f
			}
		}
	}
	return found
}

// on returns the index of the directory or file d in steps, or -1. It recognizes a moved directory by its inode number.
// A file system may use that number again after the directory is removed.
func (d *dir) on(steps []Step) int {
	for i := range steps {
		s := &steps[i]
		same := d.ino != 0 && s.Ino == d.ino && s.Dev == d.dev && len(d.givenAs(s).spans) > 0
		if s.Path == d.path || same {
			return i
		}
	}
	return -1
}

// touched reports whether the last change of a component may have happened within the span.
//
// Writing a file gives it the same change time (ctime) and modification time (mtime). If the two times differ, somebody
// has since changed the file's mode, its owner or its number of links, or has moved the file. In that case the file may
// have been written at any time since it was made: a task could leave a second hard link to the file at a place from
// which a clean-up removes the link later.
func (t *span) touched(s *Step) bool {
	if s.Changed < t.start || s.Sure && !t.mustHave(s) {
		return false
	}
	if t.end == open || s.Changed <= t.end {
		return true
	}
	if s.Mode&unix.S_IFMT == unix.S_IFDIR {
		return false
	}
	return s.Changed != s.Modified && s.Born <= t.end
}

// mustHave reports whether a link was certainly made, or moved to its place, within the span. A link that existed
// before the span may have a change time that is later than the start, by up to a tick of the kernel's clock. For
// merged runs nothing is certain.
func (t *span) mustHave(s *Step) bool {
	return t.id != 0 && s.Mode&unix.S_IFMT == unix.S_IFLNK && s.Changed >= t.start+tick()
}

// tick returns the interval between ticks of the kernel's clock in nanoseconds: 1 to 10 ms.
func tick() int64 {
	var t unix.Timespec
	_ = unix.ClockGetres(unix.CLOCK_REALTIME_COARSE, &t) // cannot fail
	return t.Nano()
}

// notRoots looks for a component of a path that a user other than root can write or replace. Root must not use the file
// at the end of such a path. In a directory with the sticky bit, other users cannot move root's files.
func notRoots(steps []Step) *Finding {
	for i := range steps {
		s := &steps[i]
		kind := s.Mode & unix.S_IFMT
		open := kind != unix.S_IFLNK && s.Mode&0o022 != 0 && (kind != unix.S_IFDIR || s.Mode&unix.S_ISVTX == 0)
		if s.Mode != 0 && (s.UID != 0 && !unmapped(s.UID) || open) {
			return &Finding{Step: *s, Others: true}
		}
	}
	return nil
}

// unmapped reports whether an id stands for users outside of the launcher's user namespace, which may include root.
func unmapped(uid uint32) bool {
	const overflow = 65534 // proc_sys_fs(5): the kernel shows this id for one that is not mapped here
	if uid != overflow {
		return false
	}
	text, err := os.ReadFile("/proc/self/uid_map")
	f := strings.Fields(string(text))
	return err == nil && len(f) == 3 && f[2] != "4294967295"
}
