package learn

import (
	"slices"
	"strings"

	"cordon/policy"
	"cordon/policy/recording"
)

// Each recording has its own working directory and home. A path writes them as . and ~. learn translates paths in these
// directories of a second recording to those of the first. The recorded program decides what its recording says,
// including HOME. So learn also remembers each path as its recording has it, because the path may be a secret there and
// no secret after the translation.

// dirs holds the directories of one recording.
type dirs struct {
	moves   [2]struct{ from, to string } // the translation to the first recording's working directory and home
	own     []string                     // the directories that . and ~ mean in this recording
	anyHome bool                         // the recording names no home, so ~ may mean any home of the first recording
	first   bool
}

// believed returns the directory for which ~ may stand, or "" if home is no such directory or is not trusted.
func (f *Facts) believed(home string) string {
	home = place(home)
	if f.Homes != nil && !slices.Contains(f.Homes, home) {
		return ""
	}
	return home
}

// home returns the home for which ~ stands: the home of the first run that has one.
func (f *Facts) home() string {
	for i := range f.Header.Runs {
		if home := f.believed(f.Header.Runs[i].Home); home != "" {
			return home
		}
	}
	return ""
}

// workdir returns the directory for which . stands.
func (f *Facts) workdir() string {
	if len(f.Header.Runs) == 0 {
		return ""
	}
	return place(f.Header.Runs[0].Workdir)
}

// dirs returns the directories of a recording. The caller has merged the recording's header into f.
func (f *Facts) dirs(h *recording.Header) (d dirs) {
	b := &h.Runs[0]
	d.first, d.anyHome = len(f.Header.Runs) == len(h.Runs), f.believed(b.Home) == ""
	for i := range h.Runs {
		r := &h.Runs[i]
		f.mixed = f.mixed || r.Workdir != b.Workdir || r.Home != b.Home
		for _, dir := range [...]string{place(r.Workdir), f.believed(r.Home)} {
			if dir != "" {
				d.own = append(d.own, dir)
			}
		}
	}
	for i, x := range [...]struct{ from, to string }{{place(b.Workdir), f.workdir()}, {f.believed(b.Home), f.home()}} {
		if x.from != x.to && x.from != "" && x.to != "" {
			d.moves[i] = x
		}
	}
	return d
}

func (d *dirs) apply(p string) string {
	for i := range d.moves {
		if within(d.moves[i].from, p) {
			return d.moves[i].to + p[len(d.moves[i].from):]
		}
	}
	return p
}

// has reports whether a path is in one of the recording's own directories.
func (d *dirs) has(p string) bool {
	return slices.ContainsFunc(d.own, func(dir string) bool { return within(dir, p) })
}

// addFrom adds an event of a recording, translated from that recording's directories.
func (f *Facts) addFrom(d dirs, e *recording.Event, at policy.Pos) {
	if e.Path == "" {
		f.Add(e, at)
		return
	}
	was, own := e.Path, d.has(e.Path)
	if e.Via != "" {
		f.remember(d.apply(was), e.Via, true)
	}
	if !own && !d.first && (within(f.workdir(), was) && !ofSystem(f.workdir()) || !d.anyHome && within(f.home(), was)) {
		f.foreign = append(f.foreign, Path{Path: was, Access: e.Access, Type: e.Type, At: at})
		return
	}
	if e.Path, e.Via = d.apply(was), d.apply(e.Via); e.Path != was {
		f.remember(e.Path, was, false)
	}
	f.addFact(e, origin{own, e.Path == was}, at)
}

// named is another name of a path: the name of a link that led to the path, or the path as its recording has it.
type named struct {
	path, name string
	link       bool
}

func (f *Facts) remember(path, name string, link bool) {
	if f.named == nil {
		f.named = map[named]bool{}
	}
	f.named[named{unpid(path), name, link}] = true
}

// homes returns all home directories that the recordings and the caller name, trusted or not. It leaves out homes of
// system accounts that are not real homes: /bin, /usr/sbin, /dev.
func (f *Facts) homes() (all []string) {
	for i := range f.Header.Runs {
		all = append(all, place(f.Header.Runs[i].Home))
	}
	for _, home := range f.Homes {
		all = append(all, place(home))
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(home string) bool {
		return home == "" || within("/dev", home) || within("/etc", home) || ofInstalled(home)
	})
}

// others returns the working and home directories of the runs that . and ~ do not mean.
func (f *Facts) others() (list []string) {
	for i := range f.Header.Runs {
		r := &f.Header.Runs[i]
		if dir := place(r.Workdir); dir != "" && dir != f.workdir() && !ofSystem(dir) {
			list = append(list, dir)
		}
		if home := f.believed(r.Home); home != "" && home != f.home() {
			list = append(list, home)
		}
	}
	return list
}

// inHomes returns the part of a path below each home that contains it. Several homes may contain it, because a
// recording may name a home inside another home. /home/NAME and /root always count as homes.
func inHomes(homes []string, p string) (rests []string) {
	add := func(home string) {
		if rest := strings.TrimPrefix(p[len(home):], "/"); !slices.Contains(rests, rest) {
			rests = append(rests, rest)
		}
	}
	for _, home := range homes {
		if within(home, p) {
			add(home)
		}
	}
	if within("/root", p) {
		add("/root")
	}
	if rest, ok := strings.CutPrefix(p, "/home/"); ok && rest != "" {
		name, _, _ := strings.Cut(rest, "/")
		add("/home/" + name)
	}
	return rests
}
