// Package git parses two of git's files: the index and the configuration. It does not access the file system, so that
// tests can pass it any bytes.
package git

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strconv"
)

// modeGitlink is the mode of an index entry for a submodule, which names a commit of another repository.
const modeGitlink = 0o160000

// Index holds what the index of a repository says about submodules.
type Index struct {
	Gitlinks []string // paths of submodules below the working tree, in the index's order
	Shared   string   // the shared index: gitrepository-layout(5); "" if there is none
}

// The constants of the index format: gitformat-index(5).
const (
	headSize  = 12 // signature, version, number of entries
	statSize  = 40 // size of an entry before the object's name
	modeAt    = 24
	longFlags = 0x4000
	nameMask  = 0x0fff
)

// ParseIndex reads an index of version 2, 3 or 4. hash is the size of an object's name: 20, or 32 with SHA-256.
func ParseIndex(data []byte, hash int) (*Index, error) {
	if len(data) < headSize+hash || string(data[:4]) != "DIRC" {
		return nil, errors.New("not an index")
	}
	version, count := binary.BigEndian.Uint32(data[4:]), binary.BigEndian.Uint32(data[8:])
	if version < 2 || version > 4 {
		return nil, errors.New("version " + strconv.FormatUint(uint64(version), 10) + " is not known")
	}
	r := reader{data: data[:len(data)-hash], at: headSize, hash: hash, version: version}
	ix := &Index{}
	for range count {
		mode, name, err := r.entry()
		if err != nil {
			return nil, err
		}
		if mode == modeGitlink {
			ix.Gitlinks = append(ix.Gitlinks, string(name))
		}
	}
	ix.Shared = r.shared()
	return ix, nil
}

type reader struct {
	data    []byte
	at      int
	hash    int
	version uint32
	name    []byte // the previous entry's name
}

var errShort = errors.New("the index ends in the midst of an entry")

func (r *reader) entry() (mode uint32, name []byte, err error) {
	fixed := statSize + r.hash + 2
	if len(r.data)-r.at < fixed {
		return 0, nil, errShort
	}
	e := r.data[r.at:]
	mode = binary.BigEndian.Uint32(e[modeAt:])
	if binary.BigEndian.Uint16(e[fixed-2:])&longFlags != 0 {
		fixed += 2
		if version3 := r.version >= 3; !version3 || len(e) < fixed {
			return 0, nil, errShort
		}
	}
	if r.version == 4 {
		err := r.prefixed(e, fixed)
		return mode, r.name, err
	}
	end := bytes.IndexByte(e[fixed:], 0)
	if end < 0 {
		return 0, nil, errShort
	}
	size := (fixed + end + 8) &^ 7 // one to eight NULs follow the name
	if size > len(e) {
		return 0, nil, errShort
	}
	r.at += size
	return mode, e[fixed : fixed+end], nil
}

// prefixed reads an entry's name in version 4: the number of bytes to remove from the end of the previous name, and the
// bytes to append.
func (r *reader) prefixed(e []byte, fixed int) error {
	drop, n := offset(e[fixed:])
	if n == 0 || drop > uint64(len(r.name)) {
		return errShort
	}
	rest := e[fixed+n:]
	end := bytes.IndexByte(rest, 0)
	if end < 0 {
		return errShort
	}
	r.name = append(r.name[:len(r.name)-int(drop):len(r.name)-int(drop)], rest[:end]...)
	r.at += fixed + n + end + 1
	return nil
}

// offset decodes a number in the format of pack files: each byte has seven bits, the highest come first, and one is
// added for each further byte.
func offset(b []byte) (v uint64, n int) {
	for n < len(b) && n < 9 {
		c := b[n]
		n++
		v = v<<7 | uint64(c&0x7f)
		if c&0x80 == 0 {
			return v, n
		}
		v++
	}
	return 0, 0
}

// shared returns the name of the shared index, from the extension "link". This index then contains only changes to it.
// shared returns "" if there is none.
func (r *reader) shared() string {
	const digits = "0123456789abcdef"
	for rest := r.data[min(r.at, len(r.data)):]; len(rest) >= 8; {
		size := uint64(binary.BigEndian.Uint32(rest[4:]))
		if size > uint64(len(rest)-8) {
			return ""
		}
		if string(rest[:4]) == "link" && size >= uint64(r.hash) {
			name := []byte("sharedindex.")
			none := true
			for _, c := range rest[8 : 8+r.hash] {
				name = append(name, digits[c>>4], digits[c&15])
				none = none && c == 0
			}
			if none {
				return ""
			}
			return string(name)
		}
		rest = rest[8+size:]
	}
	return ""
}
