package child

import (
	"testing"
	"unsafe"
)

func init() { Covered = covered }

func covered() bool { return testing.CoverMode() != "" }

var (
	initialized = 1
	zeroed      [3]int
)

// TestVariables finds the variables of this program, and neither its text, its constants nor the heap.
func TestVariables(t *testing.T) {
	if covered() {
		t.Skip("the child has them")
	}
	found := variables()
	inside := func(p unsafe.Pointer) bool { return uintptr(p) >= found.next && uintptr(p) < found.end }
	if !inside(unsafe.Pointer(&initialized)) || !inside(unsafe.Pointer(&zeroed)) {
		t.Errorf("%x to %x are without %p or %p", found.next, found.end, &initialized, &zeroed)
	}
	if text := "a constant"; inside(unsafe.Pointer(unsafe.StringData(text))) || inside(unsafe.Pointer(new([1 << 20]byte))) {
		t.Errorf("%x to %x have a constant or the heap", found.next, found.end)
	}
}

func TestWritable(t *testing.T) {
	const load, headers = 1, 6
	text := segment{kind: load, flags: 5, at: 0x400000, size: 0x1000}
	own := segment{kind: headers, flags: 4, at: 0x400040}
	data, bss := segment{kind: load, flags: 6, at: 0x601234, size: 0x100}, segment{kind: load, flags: 6, at: 0x602000, size: 0x2001}
	note := segment{kind: 4, flags: 6, at: 0x700000, size: 0x1000}
	for _, tt := range []struct {
		name  string
		list  []segment
		table uintptr
		want  area
	}{
		{"one", []segment{own, text, data}, 0x400040, area{0x601000, 0x602000}},
		{"two", []segment{own, text, data, bss, note}, 0x400040, area{0x601000, 0x605000}},
		{"anywhere", []segment{own, text, data}, 0x7f0000400040, area{0x7f0000601000, 0x7f0000602000}},
		{"no headers", []segment{text, data}, 0x400040, area{}},
		{"nothing writable", []segment{own, text}, 0x400040, area{}},
	} {
		if got := writable(tt.list, tt.table, 0x1000); got != tt.want {
			t.Errorf("%s: %x, not %x", tt.name, got, tt.want)
		}
	}
}
