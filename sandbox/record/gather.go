package record

// This file stores what was recorded: each kind of event once, with a count. The store is bounded, so that a program
// that never ends cannot fill the memory. If there are more kinds of events than fit, the other events are only
// counted, and the recording is incomplete.

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"cordon/policy/filter"
	"cordon/policy/recording"
)

// These are the bounds of the store. A program chooses the length of its paths, so bounding their number would not
// suffice.
const (
	maxBytes  = 128 << 20            // for all kinds of events and the executables, in bytes
	factBytes = 512                  // for one kind of event, without its texts, in bytes
	maxFacts  = maxBytes / factBytes // number of kinds of events that fit
)

// callFact is a kind of system call: all calls with the same number and the same values of the arguments that matter.
type callFact struct {
	exe  int
	arch uint32
	nr   int32
	args [3]uint64 // the arguments that matter: see recording.Gates
}

// fact is a kind of event other than a system call, in the program's own terms. Its meaning is computed only once.
type fact struct {
	exe  int
	kind recording.Kind
	text string // a path as the program gave it, or an address
	bits uint32 // how the program used it
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
	failed map[callFact]string // the errors of calls that have never succeeded
	lost   map[string]uint64

	lookups map[lookedUp]string // the names for which programs have received addresses

	bytes   int                    // used part of maxBytes
	dropped uint64                 // number of lost events that did not fit
	seen    func(*recording.Event) // is called for each new kind of event; may be nil
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

// room reserves space for one more kind of event, with texts bytes of text. If there is not enough space, it counts the
// event as lost and returns false.
func (g *gather) room(what string, texts int) bool {
	if g.bytes+factBytes+texts > maxBytes {
		g.lost[what]++
		g.dropped++
		return false
	}
	g.bytes += factBytes + texts
	return true
}

// executable returns the index of an executable, and adds the executable if it is new. If there is no space, it returns
// -1.
func (g *gather) executable(x recording.Executable) int {
	if !g.exes.Knows(x) && !g.room("executables", len(x.Path)+len(x.BuildID)) {
		return -1
	}
	return g.exes.Executable(x)
}

// call returns what the recorder knows about a call number. If there are too many unknown numbers, it returns nil,
// because a program could fill the memory with such numbers.
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

// countCall adds n calls of a kind to the count.
func (g *gather) countCall(f callFact, n uint64) {
	if _, known := g.calls[f]; known || g.room("calls", 0) {
		g.calls[f] += n
	}
}

// again counts an event if its kind is already stored. It reports whether the kind is stored.
func (g *gather) again(f fact) bool {
	e := g.events[f]
	if e != nil {
		e.Count++
	}
	return e != nil
}

// add adds a new kind of event and its meaning.
func (g *gather) add(f fact, e recording.Event) {
	if g.room(string(f.kind), len(f.text)+len(e.Path)+len(e.Via)) {
		e.Kind, e.Exe, e.Count = f.kind, f.exe, max(e.Count, 1)
		g.events[f] = &e
		if g.seen != nil {
			g.seen(&e)
		}
	}
}

// through records the links through which the program's path leads to the file, because the program needs each of these
// links. If g.seen is set, through does nothing, because a caller that wants events as they happen does not need the
// links.
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

// peak updates the highest use of a resource by an executable. If exe is -1, it is the use by all programs together.
func (g *gather) peak(exe int, what recording.Peak, value uint64) {
	f := fact{exe: exe, kind: recording.KindPeak, text: string(what)}
	if e := g.events[f]; e != nil {
		e.Value = max(e.Value, value)
	} else if value > 0 {
		g.add(f, recording.Event{Peak: what, Value: value})
	}
}

// recording returns what was recorded so far, and how many events were lost.
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
		if out.Add(&e) != nil { // the name does not fit into a recording
			lost[string(e.Kind)] += e.Count
		}
	}
	return out, lost
}

// executes records that a program executes another, with the files that the kernel opens for that.
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

// begins records the start of the recorded program itself, which no process in the sandbox has caused.
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
