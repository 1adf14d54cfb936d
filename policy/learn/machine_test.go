package learn

import (
	"debug/elf"
	"os"
	"strings"

	"cordon/policy/recording"
)

// typeOf returns the type of a file on this machine.
func typeOf(name string) recording.FileType {
	i, err := os.Lstat(name)
	if err != nil {
		return recording.TypeUnknown
	}
	switch i.Mode().Type() {
	case 0:
		return recording.TypeFile
	case os.ModeDir:
		return recording.TypeDir
	case os.ModeSymlink:
		return recording.TypeLink
	case os.ModeSocket:
		return recording.TypeSocket
	case os.ModeNamedPipe:
		return recording.TypeFIFO
	case os.ModeDevice | os.ModeCharDevice:
		return recording.TypeChar
	}
	return recording.TypeBlock
}

// known records which files existed before a run.
var known = map[string]bool{}

// interpreters adds the files that the kernel loads together with a program: the dynamic loader, or the interpreter of
// a script.
func (c *converter) interpreters(name string) {
	if f, err := elf.Open(name); err == nil {
		defer f.Close()
		for _, p := range f.Progs {
			if p.Type == elf.PT_INTERP {
				b := make([]byte, p.Filesz)
				if _, err := p.ReadAt(b, 0); err == nil {
					c.path(strings.TrimRight(string(b), "\x00"), recording.Execute|recording.Map|recording.Read, "", true)
				}
			}
		}
		return
	}
	text, _ := os.ReadFile(name)
	if line, _, ok := strings.Cut(string(text), "\n"); ok && strings.HasPrefix(line, "#!") {
		if fields := strings.Fields(line[2:]); len(fields) > 0 {
			c.path(fields[0], recording.Execute|recording.Read, "", true)
			c.interpreters(fields[0])
		}
	}
}
