package record

// This file stores what was recorded: each kind of thing once, with a count. A program that never ends cannot make the
// store grow without bound. What exceeds the bound is counted, and the recording is then not complete.

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"cordon/policy/filter"
	"cordon/policy/recording"
)

// The bounds of the store. A program chooses how long its paths are, so a bound on their number alone would not be
// enough.
const (
	maxBytes  = 128 << 20            // of all kinds of things and of the executables
	factBytes = 512                  // of one thing, without its texts
	maxFacts  = maxBytes / factBytes // how many things fit
)

// callFact is a kind of call. Calls are of one kind if their numbers and the arguments that matter are equal.
type callFact struct {
	exe  int
	arch uint32
	nr   int32
	args [3]uint64 // by recording.Gates
}

// fact is any other kind of thing, as it was met. The recorder works out its meaning once.
type fact struct {
	exe  int
	kind recording.Kind
	text string // a path as the program gave it, or an address
	bits uint32 // what the program did with it
}

// gather holds everything that was recorded so far. The recorder's thread adds to it, and another thread reads it.
type gather struct {
	mu     sync.Mutex
	native filter.Arch
	exes   recording.Recording // the executables
	names  map[callID]*call
	calls  map[callFact]uint64
	events map[fact]*recording.Event
	files  map[fileID]recording.Executable
	failed map[callFact]string // the error, of calls that never succeeded
	lost   map[string]uint64

	lookups map[lookedUp]string // the names by which programs got addresses

	bytes   int                    // how much of maxBytes is in use
	dropped uint64                 // how many of the lost things found no room
	seen    func(*recording.Event) // gather calls it for each new kind of thing; may be nil
}

// callID is a call's number in one of the machine's ABIs.
type callID struct {
	arch uint32
	nr   int32
}

func newGather(native filter.Arch) *gather {
	return &gather{
		native: native,
		names:  map[callID]*call{},
		calls:  map[callFact]uint64{},
		events: map[fact]*recording.Event{},
		files:  map[fileID]recording.Executable{},
		failed: map[callFact]string{},
		lost:   map[string]uint64{},

		lookups: map[lookedUp]string{},
	}
}

// room takes the room for one more kind of thing. texts is the length of its texts. If there is not enough room, room
// counts the thing as lost and returns false.
func (g *gather) room(what string, texts int) bool {
	if g.bytes+factBytes+texts > maxBytes {
		g.lost[what]++
		g.dropped++
		return false
	}
	g.bytes += factBytes + texts
	return true
}

// executable returns the number of an executable. If there is no room for another one, it returns -1, which is the
// number of no executable.
func (g *gather) executable(x recording.Executable) int {
	if !g.exes.Knows(x) && !g.room("executables", len(x.Path)+len(x.BuildID)) {
		return -1
	}
	return g.exes.Executable(x)
}

// call returns what is known of a number. It returns nil if there are too many unknown numbers, which a program may
// have made up to fill the memory.
func (g *gather) call(arch uint32, nr int32) *call {
	id := callID{arch, nr}
	c := g.names[id]
	if c == nil {
		if len(g.names) > 1<<12 {
			g.lost["calls"]++
			g.dropped++
			return nil
		}
		c = lookup(g.native, arch, nr)
		g.names[id] = c
	}
	return c
}

// countCall adds calls of a kind.
func (g *gather) countCall(f callFact, n uint64) {
	if _, known := g.calls[f]; known || g.room("calls", 0) {
		g.calls[f] += n
	}
}

// again counts a thing if it was met before, and reports whether it was.
func (g *gather) again(f fact) bool {
	e := g.events[f]
	if e != nil {
		e.Count++
	}
	return e != nil
}

// add adds a new kind of thing, and its meaning.
func (g *gather) add(f fact, e recording.Event) {
	if g.room(string(f.kind), len(f.text)+len(e.Path)+len(e.Via)) {
		e.Kind, e.Exe, e.Count = f.kind, f.exe, max(e.Count, 1)
		g.events[f] = &e
		if g.seen != nil {
			g.seen(&e)
		}
	}
}

// through adds the links that lead from the name that the program gave to the file, because the program needs each of
// them. It adds none if g.seen is set, because a caller that sees events as they come in has no use for them.
func (g *gather) through(root, exe int, e *recording.Event) {
	if g.seen != nil || e.Via == "" || e.Errno != "" || strings.HasPrefix(e.Via, "/proc/") {
		return
	}
	for _, name := range links(root, e.Via) {
		f := fact{exe, recording.KindPath, name, uint32(recording.Stat)<<1 | 1}
		if name != e.Via && name != e.Path && !g.again(f) {
			g.add(f, recording.Event{Path: e.Path, Via: name, Access: recording.Stat, Type: e.Type})
		}
	}
}

// peak notes the highest use of something by an executable, or by all programs together if exe is -1.
func (g *gather) peak(exe int, what recording.Peak, value uint64) {
	f := fact{exe: exe, kind: recording.KindPeak, text: string(what)}
	if e := g.events[f]; e != nil {
		e.Value = max(e.Value, value)
	} else if value > 0 {
		g.add(f, recording.Event{Peak: what, Value: value})
	}
}

// recording returns what was recorded so far, and how much of it was lost.
func (g *gather) recording() (*recording.Recording, map[string]uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := &recording.Recording{Executables: slices.Clone(g.exes.Executables)}
	lost := maps.Clone(g.lost)
	for f, n := range g.calls {
		c := g.names[callID{f.arch, f.nr}]
		e := recording.Event{Kind: recording.KindCall, Exe: f.exe, Count: n, Call: c.name, Arch: c.arch, Errno: g.failed[f]}
		for i, gate := range c.gates {
			e.Args = append(e.Args, recording.Arg{Name: gate.Arg, Value: f.args[i]})
		}
		if out.Add(&e) != nil {
			lost["calls"] += n
		}
	}
	name := g.namer()
	for _, at := range g.events {
		e := *at
		if e.Kind == recording.KindNet {
			e.Net.Name = name(e.Exe, e.Net.Addr)
		}
		if out.Add(&e) != nil { // a recording cannot hold its name
			lost[string(e.Kind)] += e.Count
		}
	}
	return out, lost
}

// executes records that a program runs another, and what the kernel opens for it.
func (g *gather) executes(exe, root int, path, asked string) {
	f := fact{exe: exe, kind: recording.KindExec, text: asked}
	e := recording.Event{Path: path}
	if asked != path {
		e.Via = asked
	}
	g.add(f, e)
	for _, name := range loads(root, path) {
		f := fact{exe, recording.KindPath, name, uint32(recording.Execute) << 1}
		if !g.again(f) {
			found := resolve(root, name, true)
			e := found.event(name, recording.Execute)
			g.add(f, e)
			g.through(root, exe, &e)
		}
	}
}

// begins records the start of the recorded program itself, which no process in the sandbox caused.
func (g *gather) begins(root int, path string) {
	found := resolve(root, path, true)
	e := found.event(path, recording.Execute)
	g.add(fact{exe: -1, kind: recording.KindPath, text: path}, e)
	g.through(root, -1, &e)
	g.executes(-1, root, path, path)
}

// mapped records a file that a program maps as code.
func (g *gather) mapped(exe int, name string) {
	f := fact{exe, recording.KindPath, name, uint32(recording.Map) << 1}
	if !g.again(f) {
		g.add(f, recording.Event{Path: strings.TrimSuffix(name, " (deleted)"), Access: recording.Map, Type: recording.TypeFile})
	}
}
