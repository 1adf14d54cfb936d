package learn

import (
	"errors"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/policy/phrase"
	"cordon/policy/recording"
)

// Facts holds the content of one or several recordings, without the processes. The zero Facts is empty and ready for
// use.
type Facts struct {
	Header    recording.Header
	Calls     []Call
	Paths     []Path
	Links     []Link
	Nets      []Net
	Caps      []Cap
	Peaks     []Peak
	Truncated []string // files that end too early
	Records   uint64   // how many events were added

	// Homes lists the home directories that learn accepts as a recording's HOME, because HOME is whatever the
	// program's environment said. nil accepts every HOME. Set Homes before Read.
	Homes []string

	refused uint64 // how often an access to a path ended with EACCES

	mixed bool // a recording has runs in several working directories
	calls map[string]int32
	paths map[string]int32
	links map[string]int32
	rest  map[string]int32 // the indices of nets, caps and peaks
	last  int32            // index in Paths of the path that was added last
	after []int32          // for each of Paths, the index of the path that was added next
	key   []byte

	named   map[named]bool
	foreign []Path // paths that another recording calls . or ~
}

// Call is a system call with the arguments that matter.
type Call struct {
	Name  string // the call's name in package filter, or # and a number
	Arch  string // "" for the header's architecture
	Args  []recording.Arg
	Count uint64
	Errno string     // the errno, if every call failed with it; "" if one succeeded, or if unknown
	At    policy.Pos // the position of its first record

	barred bool // learn does not allow it
}

// Path is a file and everything that the program did with it.
type Path struct {
	Path   string
	Access recording.Access // what succeeded, or may have succeeded
	Failed recording.Access // what failed
	Errno  string           // the error of the last failure
	Type   recording.FileType
	At     policy.Pos

	own    bool // it was in the working or home directory of its recording
	itself bool // a recording contains exactly this path, not only a path that was translated to it
}

// Link is a path that leads to another.
type Link struct {
	Via, Path string
	At        policy.Pos
}

// Net is an address and everything that the program did with it.
type Net struct {
	recording.Net
	Errno string
	At    policy.Pos
}

// Cap is a capability that the program used, and the call or the kernel function that asked for it.
type Cap struct {
	Cap, By string
	Errno   string
	Count   uint64 // how often the kernel checked it
	At      policy.Pos
}

// Peak is the highest use of a resource, by one executable or by all together.
type Peak struct {
	Peak  recording.Peak
	All   bool // by the whole sandbox
	Value uint64
	At    policy.Pos
}

// Read adds a recording. Comments in the profile will call it by the name file. If the recording ends too early, Read
// uses what is there and adds file to Truncated.
func (f *Facts) Read(file string, in io.Reader) error {
	r, err := recording.NewReader(file, in)
	if err != nil {
		return err
	}
	if err := f.header(file, &r.Header); err != nil {
		return err
	}
	dirs := f.dirs(&r.Header)
	r.Path = f.same
	var e recording.Event
	for {
		err := r.Next(&e)
		var bad *recording.Error
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &bad) && bad.Truncated:
			f.Truncated = append(f.Truncated, file)
			return nil
		case err != nil:
			return err
		}
		f.addFrom(dirs, &e, policy.Pos{File: evidence(file), Line: e.Line})
	}
}

// same returns a path as a string. It reuses an existing string, because most paths occur several times. It first tries
// the path that has followed the previous path before, because programs often use files in the same order.
func (f *Facts) same(path []byte) string {
	if int(f.last) >= len(f.after) {
		return string(path)
	}
	i, ok := f.after[f.last], true
	if f.Paths[i].Path != string(path) {
		i, ok = f.paths[string(path)]
	}
	if !ok {
		return string(path)
	}
	f.after[f.last], f.last = i, i
	return f.Paths[i].Path
}

// evidence returns the name of a recording in a comment: the last element of its path.
func evidence(file string) string { return path.Base(file) }

func (f *Facts) header(file string, h *recording.Header) error {
	if err := f.Header.Merge(h); err != nil {
		return &recording.Error{File: file, Line: 1, Msg: err.Error(), Hint: "learn a profile for each architecture"}
	}
	if _, ok := filter.ParseArch(f.Header.Arch); !ok {
		return &recording.Error{File: file, Line: 1, Msg: "recorded on " + phrase.Short(f.Header.Arch) + ", for which there are no filters"}
	}
	return nil
}

// Add adds an event that was read at the given position.
func (f *Facts) Add(e *recording.Event, at policy.Pos) { f.addFact(e, origin{itself: true}, at) }

// origin says how the recording wrote a path: see the fields own and itself of Path.
type origin struct{ own, itself bool }

func (f *Facts) addFact(e *recording.Event, from origin, at policy.Pos) {
	if f.calls == nil {
		f.calls, f.paths = map[string]int32{}, map[string]int32{}
		f.links, f.rest = map[string]int32{}, map[string]int32{}
	}
	f.Records++
	switch e.Kind {
	case recording.KindCall:
		f.addCall(e, at)
	case recording.KindPath:
		f.addPath(e, e.Access, from, at)
	case recording.KindExec:
		f.addPath(e, recording.Execute|recording.Read, from, at)
	case recording.KindNet:
		f.addNet(e, at)
	case recording.KindCap:
		f.addCap(e, at)
	case recording.KindPeak:
		f.addPeak(e, at)
	}
}

func (f *Facts) addCall(e *recording.Event, at policy.Pos) {
	b := append(append(append(f.key[:0], e.Call...), 0), e.Arch...)
	for _, a := range e.Args {
		b = strconv.AppendUint(append(append(append(b, 0), a.Name...), '='), a.Value, 16)
	}
	f.key = b
	i, ok := f.calls[string(b)]
	if !ok {
		f.calls[string(b)] = int32(len(f.Calls))
		f.Calls = append(f.Calls, Call{Name: e.Call, Arch: e.Arch, Args: slices.Clone(e.Args), Count: e.Count, Errno: e.Errno, At: at})
		return
	}
	c := &f.Calls[i]
	c.Count += e.Count
	if e.Errno != c.Errno {
		c.Errno = ""
	}
}

func (f *Facts) addPath(e *recording.Event, access recording.Access, from origin, at policy.Pos) {
	name := unpid(e.Path)
	i, ok := f.last, int(f.last) < len(f.Paths) && f.Paths[f.last].Path == name
	if !ok {
		i, ok = f.paths[name]
	}
	if !ok {
		i = int32(len(f.Paths))
		f.paths[name] = i
		f.after = append(f.after, i)
		f.after[f.last] = i
		f.Paths = append(f.Paths, Path{Path: name, At: at})
	}
	f.last = i
	p := &f.Paths[i]
	if e.Errno == "EACCES" {
		f.refused += e.Count
	}
	if e.Errno != "" {
		p.Failed |= access
		p.Errno = e.Errno
	} else {
		p.Access |= access
	}
	if e.Type != "" {
		p.Type = e.Type
	}
	p.own, p.itself = p.own || from.own, p.itself || from.itself
	if e.Via == "" || e.Via == e.Path || e.Errno != "" {
		return
	}
	if _, ok := f.links[e.Via]; !ok {
		f.links[e.Via] = int32(len(f.Links))
		f.Links = append(f.Links, Link{unpid(e.Via), name, at})
	}
}

// unpid replaces a process's own number in /proc by self, because the process has another number in the next run.
func unpid(p string) string {
	rest, ok := strings.CutPrefix(p, "/proc/")
	if !ok || rest == "" || rest[0] < '1' || rest[0] > '9' {
		return p
	}
	first, rest, more := strings.Cut(rest, "/")
	if _, err := strconv.ParseUint(first, 10, 32); err != nil {
		return p
	}
	if !more {
		return "/proc/self"
	}
	if task, ok := strings.CutPrefix(rest, "task/"); ok {
		if _, rest, more = strings.Cut(task, "/"); more {
			return "/proc/self/task/self/" + rest
		}
		return "/proc/self/task/self"
	}
	return "/proc/self/" + rest
}

// once looks for an equal net, capability or peak. If there is none, it records that the new one will have the index n.
func (f *Facts) once(n int, parts ...string) (at int, found bool) {
	b := f.key[:0]
	for _, s := range parts {
		b = append(append(b, s...), 0)
	}
	f.key = b
	i, ok := f.rest[string(b)]
	if !ok {
		f.rest[string(b)] = int32(n)
		return n, false
	}
	return int(i), true
}

func (f *Facts) addNet(e *recording.Event, at policy.Pos) {
	n := &e.Net
	i, found := f.once(len(f.Nets), "n", n.Op, n.Family, n.Proto, n.Addr, n.Name, strconv.Itoa(int(n.Port)))
	if !found {
		f.Nets = append(f.Nets, Net{*n, e.Errno, at})
	} else if f.Nets[i].Errno != e.Errno {
		f.Nets[i].Errno = ""
	}
}

func (f *Facts) addCap(e *recording.Event, at policy.Pos) {
	i, found := f.once(len(f.Caps), "c", e.Cap, e.By)
	if !found {
		f.Caps = append(f.Caps, Cap{e.Cap, e.By, e.Errno, e.Count, at})
		return
	}
	c := &f.Caps[i]
	if c.Count += e.Count; c.Errno != e.Errno {
		c.Errno = ""
	}
}

func (f *Facts) addPeak(e *recording.Event, at policy.Pos) {
	all := "one"
	if e.Exe < 0 {
		all = "all"
	}
	i, found := f.once(len(f.Peaks), "p", string(e.Peak), all)
	if !found {
		f.Peaks = append(f.Peaks, Peak{e.Peak, e.Exe < 0, e.Value, at})
	} else if p := &f.Peaks[i]; e.Value > p.Value {
		p.Value, p.At = e.Value, at
	}
}

// arch returns the architecture of the recordings.
func (f *Facts) arch() filter.Arch {
	a, _ := filter.ParseArch(f.Header.Arch)
	return a
}

// abi returns the ABI of a call, or NoArch if cordon does not know it.
func (f *Facts) abi(c *Call) filter.Arch {
	if c.Arch == "" {
		return f.arch()
	}
	a, _ := filter.ParseArch(c.Arch)
	return a
}

// query returns the call as a question to a filter, or nil if no table contains the call.
func (f *Facts) query(c *Call) *filter.Query {
	q, err := filter.ParseQuery(c.Name, f.abi(c))
	if err != nil {
		return nil
	}
	for _, g := range recording.Gates(c.Name) {
		for _, a := range c.Args {
			if a.Name == g.Arg && g.Reg >= 0 {
				q.Args[g.Reg].Value, q.Args[g.Reg].Known = a.Value, true
			}
		}
	}
	return q
}

// arg returns the value of an argument, and whether it was recorded.
func (c *Call) arg(name string) (uint64, bool) {
	for _, a := range c.Args {
		if a.Name == name {
			return a.Value, true
		}
	}
	return 0, false
}
