package convert

import (
	"slices"

	"cordon/policy"
)

// Class says what became of a rule: exact, approximated or dropped.
type Class string

// The classes, from the best to the worst.
const (
	Exact        Class = "exact"        // the same calls are decided in the same way
	Approximated Class = "approximated" // Note.How says how, Note.Effect in which direction
	Dropped      Class = "dropped"      // it has no counterpart
)

// Effect is the direction of an approximation.
type Effect string

// The effects. Same means that the same calls pass and only the way in which others are refused or logged differs.
const (
	Same    Effect = ""
	Tighter Effect = "tighter" // some calls are refused that were not
	Wider   Effect = "wider"   // some calls pass that did not
)

// Note says what became of one rule.
type Note struct {
	At     string     // its path in the file: "syscalls[3].args[0]", "syscalls.rules"
	Pos    policy.Pos // its place; the zero Pos where there is none to name
	Rule   string     // what it says, short
	Class  Class
	Effect Effect
	How    string // "" for an exact one
}

// lossy reports whether something of the rule is lost that only the user can do without.
func (n *Note) lossy() bool { return n.Class == Dropped || n.Effect == Wider }

// Result is a converted profile.
type Result struct {
	Text  []byte
	Notes []Note // in the order of the source
}

// Lossy counts the notes that need the user's consent: rules that are dropped, or that let more calls pass.
func (r *Result) Lossy() int {
	n := 0
	for i := range r.Notes {
		if r.Notes[i].lossy() {
			n++
		}
	}
	return n
}

// sortNotes puts notes in the order of the source, those about the whole file first.
func sortNotes(notes []Note) {
	slices.SortStableFunc(notes, func(a, b Note) int { return a.Pos.Line - b.Pos.Line })
}
