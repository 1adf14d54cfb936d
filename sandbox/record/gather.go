package record

// What is remembered: each kind of thing once, with how often. A program that never ends cannot make this grow without
// bound: what comes behind the bound is counted, and the recording is not complete.

import (
	"sync"
)

// maxFacts bounds the kinds of things that are remembered: about 300 bytes each.
const maxFacts = 1 << 20

// callFact is a kind of call: the same number, and the same constants among its arguments.
type callFact struct {
	exe  int
	arch uint32
	nr   int32
	args [6]uint64
}

// pathFact is a path and what was asked of it.
type pathFact struct {
	exe  int
	path string
	want access
	gone bool // there was nothing at that path when the call was made
}

// addrFact is a socket address and what was done with it.
type addrFact struct {
	exe  int
	what string // "connect" or "bind"
	addr string // "inet:10.0.0.1:80", "unix:/run/x", "abstract:name"
	kind string // "tcp", "udp", …, where the socket told
}

// capFact is a capability and what asked for it.
type capFact struct {
	exe   int
	cap   int
	by    string // the kernel's function that asked, or the call
	given bool
}

// gather is everything that was seen so far.
type gather struct {
	mu    sync.Mutex
	exes  []executable
	byExe map[string]int

	calls map[callFact]uint64
	paths map[pathFact]uint64
	addrs map[addrFact]uint64
	caps  map[capFact]uint64

	facts int
	lost  uint64 // things that came behind maxFacts, by occurrence
	peaks peaks
}

// executable is a program's file.
type executable struct {
	path    string // in the sandbox
	buildID string // lower-case hex; "" if it has none
}

// peaks are the highest values that were seen; 0 is not seen.
type peaks struct {
	processes, threads, files int
	memory                    int64 // bytes, of the largest process
}

func newGather() *gather {
	return &gather{byExe: map[string]int{}, calls: map[callFact]uint64{}, paths: map[pathFact]uint64{}, addrs: map[addrFact]uint64{}, caps: map[capFact]uint64{}}
}

// count adds an occurrence of a thing, and reports whether it is new.
func count[F comparable](g *gather, facts map[F]uint64, f F, n uint64) (fresh bool) {
	if _, known := facts[f]; known {
		facts[f] += n
		return false
	}
	if g.facts == maxFacts {
		g.lost += n
		return false
	}
	g.facts++
	facts[f] = n
	return true
}

// program is the number of an executable. The same path with another build-id is another program.
func (g *gather) program(path, buildID string) int {
	key := path + "\x00" + buildID
	if i, known := g.byExe[key]; known {
		return i
	}
	g.exes = append(g.exes, executable{path, buildID})
	g.byExe[key] = len(g.exes) - 1
	return len(g.exes) - 1
}
