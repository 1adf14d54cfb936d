package ledger

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/fail"
)

// Guard reads the profiles of a run, and refuses a profile that a task may have written.
type Guard struct {
	Places func() []Place // returns the places of the records, when they are first needed
	Root   bool           // the caller is root: Guard refuses a profile that somebody else can write
	Accept bool           // do not refuse a profile even if a task may have written it
	Texts  []Text         // the profiles that were read and not refused

	opened bool
	dirs   []int // descriptors of the places that exist
	runs   []*runs
	table  []mount // see aliased
}

// Refused is the error for a profile that a task may have written.
type Refused struct {
	Name string // the profile's path as the user named it
	Text Text   // its text now
	Old  *Text  // its text when it was last used or trusted; nil if unknown
	*Finding
}

const othersWrite = "root uses no profile that somebody else can write, and "

func (e *Refused) Error() string {
	what := "it"
	switch {
	case e.Others && e.Step.UID != 0:
		return othersWrite + strconv.Quote(e.Step.Path) + " belongs to user " + strconv.FormatUint(uint64(e.Step.UID), 10)
	case e.Others:
		return othersWrite + strconv.Quote(e.Step.Path) + " has mode " +
			strconv.FormatUint(uint64(e.Step.Mode&0o7777), 8)
	case e.Clock:
		return "a program in a sandbox could have written it: sandboxes could write " + strconv.Quote(e.Dir) +
			", which is on a file system whose times do not show when"
	case !e.file():
		what = strconv.Quote(e.Step.Path)
	}
	if e.End != math.MaxInt64 && e.Step.Changed > e.End && e.file() {
		return "a program in a sandbox could have written it before " + what + " was changed last: from " + clock(e.Start) + " to " + clock(e.End) +
			" a sandbox could write " + strconv.Quote(e.Dir)
	}
	text := "a program in a sandbox could have written it: " + what + " changed at " + clock(e.Step.Changed) + "; "
	if e.End == math.MaxInt64 {
		return text + "since " + clock(e.Start) + " a sandbox that still runs can write " + strconv.Quote(e.Dir)
	}
	return text + "from " + clock(e.Start) + " to " + clock(e.End) + " a sandbox could write " + strconv.Quote(e.Dir)
}

// clock formats a time for messages, with the date if it is not today.
func clock(ns int64) string {
	t := time.Unix(0, ns)
	if time.Since(t) < 12*time.Hour {
		return t.Format("15:04:05.000")
	}
	return t.Format("2006-01-02 15:04:05")
}

// Read returns the text of a profile, at most the first max bytes. It returns a [Refused] error if a task may have
// written the profile.
func (g *Guard) Read(name string, max int64) ([]byte, error) {
	data, steps, err := Read(name, max)
	if errors.Is(err, fs.ErrNotExist) {
		g.gone(name)
	}
	if err != nil {
		return nil, err
	}
	text := Text{Path: steps[len(steps)-1].Path, Data: data}
	if err := g.open(); err != nil {
		return nil, err
	}
	if err := g.judge(name, text, steps); err != nil && !g.Accept {
		return nil, err
	} else if err != nil {
		text.Doubtful = true
	} else if err := g.renew(text); err != nil {
		return nil, err
	}
	g.Texts = append(g.Texts, text)
	return data, nil
}

// gone ends the user's trust in the text of a file that no longer exists. If a file of that name appears again, it is
// another file, even if it has the same text. If the record cannot be changed now, gone is called again at the next
// attempt to read the file.
func (g *Guard) gone(name string) {
	dir, err := filepath.EvalSymlinks(filepath.Dir(name))
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err != nil || g.open() != nil {
		return
	}
	path := filepath.Join(dir, filepath.Base(name))
	for _, fd := range g.dirs {
		if old := known(fd, path); old == nil || !old.Trusted {
			continue
		}
		if unlock, err := exclusive(fd); err == nil {
			_ = distrust(fd, path)
			unlock()
		}
	}
}

// open reads the records. It does so only the first time that it is called.
func (g *Guard) open() (err error) {
	if g.opened {
		return nil
	}
	if g.dirs, err = openExisting(g.Places()); err != nil {
		return err
	}
	for _, fd := range g.dirs {
		r, err := read(fd)
		if err != nil {
			where := Where(fd)
			g.Close()
			return &Error{"record of what sandboxes could write, " + strconv.Quote(filepath.Join(where, runsFile)), fail.Bare(err),
				"if you cannot repair it, check your profiles and then remove it; cordon will trust all profiles as they are"}
		}
		if r != nil {
			g.runs = append(g.runs, r)
		}
	}
	g.opened = true
	return nil
}

// Close closes the places and drops the records.
func (g *Guard) Close() {
	closeAll(g.dirs)
	g.dirs, g.runs, g.table, g.opened = nil, nil, nil, false
}

func (g *Guard) judge(name string, text Text, steps []Step) error {
	var found *Finding
	for _, r := range g.runs {
		if f := r.judge(steps); f != nil && (found == nil || !found.file()) {
			found = f
		}
	}
	if len(g.runs) > 0 && found == nil {
		table := mountTable()
		for _, r := range g.runs {
			if found == nil {
				found = r.elsewhere(table, steps)
			}
		}
	}
	if g.Root && found == nil {
		found = notRoots(steps)
	}
	old := g.known(text.Path)
	same := old != nil && bytes.Equal(old.Data, text.Data)
	if found == nil && old != nil && !same {
		found = g.swapped(old, steps)
	}
	switch {
	case found == nil:
		return nil
	case same && (old.Trusted || !found.file() && !found.Others):
		return nil
	}
	return &Refused{Name: name, Text: text, Old: old, Finding: found}
}

// renew records a new text that the author of a profile has written. From then on the earlier text is not trusted, so
// that it is noticed if a task writes the earlier text again.
func (g *Guard) renew(t Text) error {
	for _, fd := range g.dirs {
		old := known(fd, t.Path)
		if old == nil || bytes.Equal(old.Data, t.Data) {
			continue
		}
		unlock, err := exclusive(fd)
		if err == nil {
			err = keep(fd, t)
			unlock()
		}
		if err != nil {
			return &Error{"forget the former text of " + strconv.Quote(t.Path) + ", in " + Where(fd), fail.Bare(err), remedy}
		}
	}
	return nil
}

// known returns the latest text that is stored for a path, or nil if there is none.
func (g *Guard) known(path string) (latest *Text) {
	for _, fd := range g.dirs {
		if t := known(fd, path); t != nil && (latest == nil || t.At > latest.At) {
			latest = t
		}
	}
	return latest
}

// swapped finds a run that may have put an older file, with another text, in the place of the used file. A task can do
// that by moving directories, which leaves no trace on the files in them.
func (g *Guard) swapped(old *Text, steps []Step) *Finding {
	file := &steps[len(steps)-1]
	if file.Changed > old.At {
		return nil
	}
	for _, r := range g.runs {
		for _, d := range r.dirs {
			top := d.on(steps)
			if top < 0 || steps[top].Mode&unix.S_IFMT != unix.S_IFDIR {
				continue
			}
			for _, s := range d.givenAs(&steps[top]).spans {
				if s.end >= old.At && parent(file.Path) != steps[top].Path {
					way := steps[top]
					way.Path = parent(file.Path)
					way.Changed = old.At
					return &Finding{Step: way, Dir: d.path, Start: s.start, End: s.end}
				}
			}
		}
	}
	return nil
}

func parent(path string) string { return filepath.Dir(path) }
