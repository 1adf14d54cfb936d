package record

// This file finds the offsets of members in the kernel's structures. It reads the kernel's type information (BTF),
// /sys/kernel/btf/vmlinux (Linux 5.4 with CONFIG_DEBUG_INFO_BTF): Documentation/bpf/btf.rst.

import (
	"encoding/binary"
	"errors"
	"os"
)

// These are the kinds of types that the recorder uses.
const (
	btfArray  = 3
	btfStruct = 4
	btfUnion  = 5
)

// btf holds the types of a kernel.
type btf struct {
	types   []btfType // by id; 0 is void
	strings []byte
}

type btfType struct {
	name    uint32
	kind    uint8
	flag    bool // the offsets of members also contain the sizes of bit fields
	members []byte
	refers  uint32
}

// loadBTF reads the types of the running kernel.
func loadBTF() (*btf, error) {
	b, err := os.ReadFile("/sys/kernel/btf/vmlinux")
	if err != nil {
		return nil, err
	}
	return parseBTF(b)
}

var errBTF = errors.New("BTF: not as documented")

func parseBTF(b []byte) (*btf, error) {
	u32 := binary.LittleEndian.Uint32
	if len(b) < 24 || binary.LittleEndian.Uint16(b) != 0xeb9f {
		return nil, errBTF
	}
	body := uint64(u32(b[4:]))
	section := func(at int) []byte {
		from := body + uint64(u32(b[at:]))
		to := from + uint64(u32(b[at+4:]))
		if to > uint64(len(b)) {
			return nil
		}
		return b[from:to]
	}
	t := &btf{types: make([]btfType, 1, 1<<17), strings: section(16)}
	for rest := section(8); len(rest) > 0; {
		if len(rest) < 12 {
			return nil, errBTF
		}
		info := u32(rest[4:])
		x := btfType{name: u32(rest), kind: uint8(info >> 24 & 0x1f), flag: info>>31 != 0, refers: u32(rest[8:])}
		n, ok := btfSize(x.kind, int(info&0xffff))
		if !ok || len(rest) < 12+n {
			return nil, errBTF
		}
		if x.kind == btfStruct || x.kind == btfUnion {
			x.members = rest[12 : 12+n]
		}
		t.types = append(t.types, x)
		rest = rest[12+n:]
	}
	return t, nil
}

// btfSize returns how many bytes follow the common part of a type's description. For an unknown kind it returns false.
func btfSize(kind uint8, n int) (int, bool) {
	switch kind {
	case 1, 14, 17: // int, variable, tag of a declaration
		return 4, true
	case btfArray:
		return 12, true
	case btfStruct, btfUnion, 15, 19: // section, 64-bit enumeration
		return 12 * n, true
	case 6, 13: // enumeration, function's prototype
		return 8 * n, true
	case 2, 7, 8, 9, 10, 11, 12, 16, 18: // pointer, forward, typedef, volatile, const, restrict, function, float, type tag
		return 0, true
	}
	return 0, false
}

// offset returns the offset of a member in a structure, in bytes.
func (t *btf) offset(name, member string) (int, error) {
	for i := range t.types {
		if x := &t.types[i]; x.kind == btfStruct && t.is(x.name, name) {
			if off, ok := t.member(x, member, 0); ok {
				return off, nil
			}
		}
	}
	return 0, errors.New("BTF: struct " + name + " has no member " + member)
}

// typedef returns the id of a typedef, or 0 if there is none.
func (t *btf) typedef(name string) uint32 {
	for i := range t.types {
		if x := &t.types[i]; x.kind == 8 && t.is(x.name, name) {
			return uint32(i)
		}
	}
	return 0
}

// is reports whether the string at the given offset in the string section equals s.
func (t *btf) is(at uint32, s string) bool {
	end := int(at) + len(s)
	return end < len(t.strings) && t.strings[end] == 0 && string(t.strings[at:end]) == s
}

// member returns the offset of a structure's member in bytes. It also searches for the member in members that have no
// name.
func (t *btf) member(x *btfType, name string, depth int) (int, bool) {
	u32 := binary.LittleEndian.Uint32
	for m := x.members; len(m) >= 12; m = m[12:] {
		bits := u32(m[8:])
		if x.flag {
			bits &= 0xffffff
		}
		switch at := u32(m); {
		case t.is(at, name):
			return int(bits / 8), true
		case t.is(at, "") && depth < 8 && int(u32(m[4:])) < len(t.types):
			if off, ok := t.member(t.skip(u32(m[4:])), name, depth+1); ok {
				return int(bits/8) + off, true
			}
		}
	}
	return 0, false
}

// skip returns the type without const and volatile, which are types of their own in BTF.
func (t *btf) skip(id uint32) *btfType {
	for range 8 {
		x := &t.types[id]
		if k := x.kind; k < 8 || k > 11 || int(x.refers) >= len(t.types) {
			return x
		}
		id = x.refers
	}
	return &t.types[0]
}
