package convert

import (
	"slices"

	"cordon/policy"
)

// Class says how well a rule was converted: exact, approximated or dropped.
type Class string

// These are the classes, from the best to the worst.
const (
	Exact        Class = "exact"        // it decides the same calls in the same way
	Approximated Class = "approximated" // Note.How says what differs, and Note.Effect in which direction
	Dropped      Class = "dropped"      // it has no counterpart
)

// Effect is the direction of an approximation.
type Effect string

// The effects. Same means that the same calls are allowed; only denied calls may get another errno or be logged
// differently.
const (
	Same    Effect = ""
	Tighter Effect = "tighter" // some calls are denied that were allowed before
	Wider   Effect = "wider"   // some calls are allowed that were denied before
)

// Note says how one rule was converted.
type Note struct {
	At     string     // the rule's path in the file: "syscalls[3].args[0]", "syscalls.rules"
	Pos    policy.Pos // the rule's place; the zero Pos if it has none
	Rule   string     // a short form of the rule
	Class  Class
	Effect Effect
	How    string // what differs, or why the rule was dropped; "" for an exact rule
}

// lossy reports whether the conversion loses something that needs the user's consent.
func (n *Note) lossy() bool { return n.Class == Dropped || n.Effect == Wider }

// Result is a converted profile.
type Result struct {
	Text  []byte
	Notes []Note // in the order of the source
}

// Lossy counts the notes that need the user's consent: rules that are dropped, or that allow more calls.
func (r *Result) Lossy() int {
	n := 0
	for i := range r.Notes {
		if r.Notes[i].lossy() {
			n++
		}
	}
	return n
}

// sortNotes sorts notes in the order of the source. Notes about the whole file come first.
func sortNotes(notes []Note) {
	slices.SortStableFunc(notes, func(a, b Note) int { return a.Pos.Line - b.Pos.Line })
}
