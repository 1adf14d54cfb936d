package compile

// What execve(2) loads for a program: a script's interpreter (fs/binfmt_script.c), an ELF executable's (elf(5)).
//
// A script may be the work of an earlier task, so it must not choose what the launcher binds. Its first line is read exactly
// as the kernel reads it, and an interpreter that the profile hides is bound only if it is an ELF executable that is named
// without links which a task could have made (showprogram.go). One below /proc is refused: its magic links lead to the
// launcher's own image (CVE-2019-5736).

import (
	"bytes"
	bin "encoding/binary"
	"errors"
	"strings"

	"cordon/policy"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
)

// maxInterpreters is how many scripts may interpret each other: the kernel's own limit, exec_binprm.
const maxInterpreters = 5

// Interpreter makes sure that what execve(2) loads for a program is there.
func (c *Compilation) Interpreter(path string, depth int) error {
	inside, err := c.Tree.Resolve(path)
	if err != nil {
		return &fail.LookupError{Name: path, Why: fail.Bare(err).Error(), Code: 126}
	}
	host := c.Tree.HostPath(inside)
	if host == "" {
		return nil
	}
	head, err := c.Host.Files.Read(host, 4096)
	if err != nil {
		return nil //nolint:nilerr // executable but not readable
	}
	if loader := ElfInterpreter(head); loader != "" {
		if _, err := c.Tree.Resolve(c.absolute(loader)); err != nil {
			return &fail.LookupError{Name: path, Why: "its interpreter " + loader + ": " + fail.Bare(err).Error(), Code: 126}
		}
		return nil
	}
	if name, arg, ok := shebang(head); ok {
		return c.scriptInterpreter(path, name, arg, depth)
	}
	return nil
}

// scriptInterpreter makes sure that the interpreter of a script is there, and what that interprets or executes in turn.
func (c *Compilation) scriptInterpreter(script, name, arg string, depth int) error {
	if depth == maxInterpreters {
		return &fail.LookupError{Name: script, Why: "too many scripts interpret each other", Code: 126}
	}
	path := c.absolute(name)
	err := c.reach(name, path, byScript)
	if err != nil {
		return interpreterError(script, name, err)
	}
	if c.isEnv(path) {
		if err := c.throughEnv(script, arg); err != nil {
			return err
		}
	}
	return interpreterError(script, name, c.Interpreter(path, depth+1))
}

// throughEnv finds the program that env(1) executes. Arguments with flags or variables are env's own affair.
func (c *Compilation) throughEnv(script, arg string) error {
	if c.Profile.Syscalls.Exec == policy.ExecOnce {
		return &fail.LookupError{Name: script, Why: "its interpreter env executes another program, and " + c.Profile.Source("syscalls.exec").Short() + " allows one", Code: 126,
			Hint: "name the interpreter itself, as in cordon run … -- python3 " + script + ", or --exec any"}
	}
	if arg == "" || strings.ContainsAny(arg, "-=/ \t") {
		return nil
	}
	_, err := c.findFor(arg, byScript)
	return interpreterError(script, arg, err)
}

// isEnv reports whether a path is that of the system's env(1). Another file of that name is a program like any other.
func (c *Compilation) isEnv(path string) bool {
	if path != "/usr/bin/env" && path != "/bin/env" {
		return false
	}
	inside, err := c.Tree.Resolve(path)
	if err != nil {
		return false
	}
	host := c.Tree.HostPath(inside)
	info, err := c.Host.Files.Lstat(host)
	if host == "" || err != nil || !info.Mode().IsRegular() {
		return false
	}
	return c.belongsToSystem(host, info)
}

// absolute is a path as execve(2) takes it: relative to the task's working directory.
func (c *Compilation) absolute(path string) string {
	if strings.HasPrefix(path, "/") {
		return paths.Clean(path)
	}
	return paths.Clean(paths.Join(c.Workdir, path))
}

// scriptHead is how much of a script the kernel reads: BINPRM_BUF_SIZE, since Linux 5.1.
const scriptHead = 256

// shebang returns the interpreter that the kernel takes from a file's beginning, and the one argument that it passes; ok is
// false for what the kernel does not take for a script. Only spaces and tabs separate, and a NUL ends the name. Where no
// newline is among the bytes that the kernel reads, the name counts if something ends it, and the argument may be cut off.
func shebang(head []byte) (name, arg string, ok bool) {
	const blanks = " \t"
	line := make([]byte, scriptHead) // the kernel's buffer is filled up with NUL
	copy(line, head)
	if string(line[:2]) != "#!" {
		return "", "", false
	}
	end := bytes.IndexAny(line, "\n\x00")
	whole := end >= 0 && line[end] == '\n'
	if !whole {
		end = scriptHead - 1
	}
	ended := whole || strings.IndexByte(blanks+"\x00", line[end]) >= 0
	rest := bytes.TrimRight(line[2:end], blanks)
	ended = ended || len(rest) < end-2
	rest = bytes.TrimLeft(rest, blanks)
	cut := bytes.IndexAny(rest, blanks+"\x00")
	switch {
	case len(rest) == 0 || cut == 0:
		return "", "", false
	case cut < 0:
		return string(rest), "", ended // else the path may go on behind what the kernel reads
	case rest[cut] == 0:
		return string(rest[:cut]), "", true
	}
	text, _, _ := bytes.Cut(bytes.TrimLeft(rest[cut:], blanks), []byte{0})
	return string(rest[:cut]), string(text), true
}

// ElfInterpreter is the path in PT_INTERP of a 64-bit little-endian ELF file's beginning: elf(5).
func ElfInterpreter(head []byte) string {
	if len(head) < 64 || string(head[:6]) != "\x7fELF\x02\x01" {
		return ""
	}
	le := bin.LittleEndian
	offset, size, count := le.Uint64(head[32:]), uint64(le.Uint16(head[54:])), uint64(le.Uint16(head[56:]))
	for i := range count {
		at := offset + i*size
		if at > uint64(len(head)) || size < 56 || at+56 > uint64(len(head)) {
			return ""
		}
		ph := head[at : at+56]
		if le.Uint32(ph) != 3 { // PT_INTERP
			continue
		}
		from, n := le.Uint64(ph[8:]), le.Uint64(ph[32:])
		if from > uint64(len(head)) || n > uint64(len(head))-from || n == 0 {
			return ""
		}
		return strings.TrimRight(string(head[from:from+n]), "\x00")
	}
	return ""
}

func interpreterError(path, name string, err error) error {
	var lookup *fail.LookupError
	if err != nil && errors.As(err, &lookup) {
		return &fail.LookupError{Name: path, Why: "its interpreter " + name + ": " + lookup.Why, Code: lookup.Code, Hint: lookup.Hint}
	}
	return err
}
