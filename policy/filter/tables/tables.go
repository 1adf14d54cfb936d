// Package tables has the system calls, their numbers on each architecture, their groups, and the constants of their
// arguments. They are sorted arrays that the linker lays out, so a program computes nothing when it imports the
// package. The id of a call is its index in CallNames. Package filter says what the tables mean.
package tables

//go:generate go run ./gen

// Numbered is a call's number on one architecture.
type Numbered struct {
	Nr   uint32
	Call uint16
}

// Pair relates a call to another call that does its work.
type Pair struct{ Call, Other uint16 }

// CallSet has one bit for each call.
type CallSet [(NumCalls + 63) / 64]uint64

// Has reports whether a call is in the set.
func (s *CallSet) Has(id uint16) bool { return s[id/64]>>(id%64)&1 != 0 }

// Add puts a call into the set.
func (s *CallSet) Add(id uint16) { s[id/64] |= 1 << (id % 64) }

// Union puts the calls of t into s.
func (s *CallSet) Union(t *CallSet) {
	for i := range s {
		s[i] |= t[i]
	}
}

// ConstValue is the value of a named constant: 64 bits in two's complement.
type ConstValue struct {
	Bits  uint64
	Flags uint8 // 1: exists; 2: negative
}

// ArchConst is a constant whose value depends on the architecture.
type ArchConst struct {
	Index  uint16 // in ConstNames
	Values [5]ConstValue
}
