package child

import (
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// segment is a program header of a 64-bit file: elf(5).
type segment struct {
	kind, flags                               uint32
	offset, at, physical, inFile, size, align uint64
}

// Covered, unless nil, reports whether the code counts how often it runs, as under go test -cover: then it has variables
// in the child, too.
var Covered func() bool

// variables is where the variables of the program's packages lie: the writable segments of its file, which are one behind
// the other. getauxval(3) tells where the kernel has put the file's headers. It is empty where they are not found.
var variables = sync.OnceValue(func() (found area) {
	const headers, count = 3, 5 // AT_PHDR, AT_PHNUM
	aux, err := unix.Auxv()
	if err != nil || unsafe.Sizeof(uintptr(0)) != 8 || Covered != nil && Covered() {
		return area{}
	}
	var list []segment
	var table, n uintptr
	for i := range aux {
		switch aux[i][0] {
		case headers:
			table = aux[i][1]
			list = unsafe.Slice(*(**segment)(unsafe.Pointer(&aux[i][1])), 1)
		case count:
			n = aux[i][1]
		}
	}
	if table == 0 || n == 0 {
		return area{}
	}
	return writable(unsafe.Slice(&list[0], n), table, uintptr(unix.Getpagesize()))
})

// writable is where the writable segments of a list lie, whose headers are at an address, in whole pages.
func writable(list []segment, table, pageSize uintptr) (found area) {
	const load, headers, write = 1, 6, 2 // PT_LOAD, PT_PHDR, PF_W
	shift, known := uintptr(0), false    // of a program that may lie anywhere
	for i := range list {
		if list[i].kind == headers {
			shift, known = table-uintptr(list[i].at), true
		}
	}
	if !known {
		return area{}
	}
	for i := range list {
		s := &list[i]
		if s.kind != load || s.flags&write == 0 {
			continue
		}
		start, end := shift+uintptr(s.at), shift+uintptr(s.at+s.size)
		if found.end == 0 {
			found.next = start &^ (pageSize - 1)
		}
		found.end = (end + pageSize - 1) &^ (pageSize - 1)
	}
	return found
}
