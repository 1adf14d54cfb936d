package filter

//go:generate go run ./gen

// numbered is a call's number on one architecture.
type numbered struct {
	nr   uint32
	call uint16
}

// pair relates a call to another that does its work.
type pair struct{ call, other uint16 }

// callSet has one bit for each call.
type callSet [(numCalls + 63) / 64]uint64

func (s *callSet) has(id uint16) bool { return s[id/64]>>(id%64)&1 != 0 }
func (s *callSet) add(id uint16)      { s[id/64] |= 1 << (id % 64) }

func (s *callSet) union(t *callSet) {
	for i := range s {
		s[i] |= t[i]
	}
}

// constValue is the value of a named constant: 64 bits in two's complement.
type constValue struct {
	bits  uint64
	flags uint8 // 1: exists; 2: negative
}

// archConst is a constant whose value depends on the architecture.
type archConst struct {
	index  uint16 // in constNames
	values [5]constValue
}
