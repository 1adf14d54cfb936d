package record

// This file reads facts about an executable: elf(5). It does not use the package debug/elf, because that package has
// tables that would have to be initialized at every start of the launcher.

import (
	"encoding/binary"
	"encoding/hex"
	"strings"

	"golang.org/x/sys/unix"
)

// These are types of program headers, and limits of what inspect reads.
const (
	ptInterp   = 3
	ptNote     = 4
	maxHeaders = 128
	maxSegment = 1 << 16
	maxBuildID = 64 // as long as SHA-512; 20 bytes are usual
)

// inspect returns the build id (NT_GNU_BUILD_ID) of an executable in lower-case hex, and the dynamic loader that it
// names. isELF says whether it is a little-endian ELF file. inspect closes the descriptor.
func inspect(fd int) (buildID, loader string, isELF bool) {
	defer unix.Close(fd)
	var head [64]byte
	if n, _ := unix.Pread(fd, head[:], 0); n < len(head) || string(head[:4]) != "\x7fELF" || head[5] != 1 { // little-endian
		return "", "", false
	}
	for _, s := range segments(fd, &head) {
		if s.kind != ptInterp && s.kind != ptNote || s.size > maxSegment {
			continue
		}
		text := make([]byte, s.size)
		if n, _ := unix.Pread(fd, text, int64(s.at)); n < len(text) {
			continue
		}
		if s.kind == ptInterp {
			loader, _, _ = strings.Cut(string(text), "\x00")
		} else if buildID == "" {
			buildID = gnuBuildID(text, int(s.align))
		}
	}
	return buildID, loader, true
}

// segment is a program header.
type segment struct {
	kind            uint32
	at, size, align uint64
}

// segments reads the program headers of an ELF file whose first bytes are head.
func segments(fd int, head *[64]byte) (list []segment) {
	u16, u32, u64 := binary.LittleEndian.Uint16, binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	wide := head[4] == 2
	at, size, n := uint64(u32(head[28:])), int(u16(head[42:])), int(u16(head[44:]))
	least := 32
	if wide {
		at, size, n, least = u64(head[32:]), int(u16(head[54:])), int(u16(head[56:])), 56
	}
	if size < least || size > 256 || n > maxHeaders || int64(at) < 0 {
		return nil
	}
	b := make([]byte, size*n)
	if got, _ := unix.Pread(fd, b, int64(at)); got < len(b) {
		return nil
	}
	for ; len(b) > 0; b = b[size:] {
		s := segment{u32(b), uint64(u32(b[4:])), uint64(u32(b[16:])), uint64(u32(b[28:]))}
		if wide {
			s = segment{u32(b), u64(b[8:]), u64(b[32:]), u64(b[48:])}
		}
		if int64(s.at) >= 0 {
			list = append(list, s)
		}
	}
	return list
}

// gnuBuildID finds the build id in a segment of notes: elf(5), Nhdr.
func gnuBuildID(notes []byte, align int) string {
	if align != 8 {
		align = 4
	}
	round := func(n int) int { return (n + align - 1) &^ (align - 1) }
	const header, gnuBuildIDType = 12, 3
	for len(notes) >= header {
		word := binary.LittleEndian.Uint32
		name, desc, kind := int(word(notes)), int(word(notes[4:])), word(notes[8:])
		notes = notes[header:]
		if name > len(notes) || round(name) > len(notes) || desc > len(notes)-round(name) {
			return ""
		}
		value := notes[round(name) : round(name)+desc]
		if kind == gnuBuildIDType && desc <= maxBuildID && string(notes[:name]) == "GNU\x00" {
			return hex.EncodeToString(value)
		}
		notes = notes[min(len(notes), round(name)+round(desc)):]
	}
	return ""
}
