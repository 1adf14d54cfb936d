package sandbox

// What was typed works: the program is looked up as a shell would, and where the profile hides its directory, that one
// file and a script's interpreter are bound read-only, and the report says so.

import (
	bin "encoding/binary"
	"errors"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/plan"
)

// program is what is exec'd.
type program struct {
	path string   // inside
	args []string // of a program that joins a sandbox
	env  []string
}

// defaultPath is searched where the task has no PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// lookup finds the program, its interpreter and the working directory.
func (c *compilation) lookup() error {
	c.program.env = c.environment()
	if err := c.findWorkdir(); err != nil {
		return err
	}
	path, err := c.find(c.cmd.Args[0])
	if err != nil {
		return err
	}
	c.program.path = path
	return c.interpreter(path, 0)
}

func (c *compilation) findWorkdir() error {
	if w := c.profile.Process.Workdir; w != "" {
		dir, err := c.expandTarget(w)
		if err == nil {
			dir, err = c.tree.resolve(dir)
		}
		if err == nil {
			if isDir, _ := c.tree.stat(dir); !isDir {
				err = errText("no such directory inside")
			}
		}
		if err != nil {
			return &Error{Op: "process.workdir " + w, Err: bare(err), From: c.where("process.workdir"), Hint: "bind it, or name one that exists"}
		}
		c.workdir = dir
		return nil
	}
	c.workdir = "/"
	if dir, err := c.tree.resolve(c.host.Cwd); err == nil {
		if isDir, ok := c.tree.stat(dir); ok && isDir {
			c.workdir = c.host.Cwd
		}
	}
	return nil
}

// find is the absolute path, inside, of a program as typed.
func (c *compilation) find(name string) (string, error) {
	if name == "" {
		return "", &LookupError{Name: `""`, Why: "an empty name is no program", Code: 127}
	}
	if strings.Contains(name, "/") {
		path := clean(name)
		if name[0] != '/' {
			path = clean(joinPath(c.typedFrom(), name))
		}
		return path, c.reach(name, path)
	}
	var denied error
	for dir := range strings.SplitSeq(c.searchPath(), ":") {
		if !strings.HasPrefix(dir, "/") {
			continue // a relative directory in PATH finds what the caller did not name
		}
		path := joinPath(clean(dir), name)
		err := c.reach(name, path)
		var lookup *LookupError
		if !errors.As(err, &lookup) {
			return path, err
		}
		if lookup.Code == 126 && denied == nil {
			denied = err
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", &LookupError{Name: name, Why: "not found in PATH inside the sandbox", Code: 127, Hint: "name it by its path, or keep PATH with env: {keep: [PATH]}"}
}

// typedFrom is the directory that a relative name starts at: the caller's, except in a root directory, where the
// names are the root's own.
func (c *compilation) typedFrom() string {
	if c.profile.Root.Kind == policy.RootDir || c.into != nil {
		return c.workdir
	}
	return c.host.Cwd
}

func (c *compilation) searchPath() string {
	for _, v := range c.program.env {
		if p, ok := strings.CutPrefix(v, "PATH="); ok {
			return p
		}
	}
	return defaultPath
}

// reach makes sure that a program can be executed at path, and binds it there where it is only hidden.
func (c *compilation) reach(name, path string) error {
	inside, err := c.tree.resolve(path)
	if err != nil {
		return &LookupError{Name: name, Why: bare(err).Error(), Code: 126}
	}
	if isDir, ok := c.tree.stat(inside); ok {
		return c.executable(name, inside, isDir)
	}
	if p := c.tree.at(inside); p.opaque {
		return &LookupError{Name: name, Why: "hidden by " + p.rule.Short(), Code: 126, Hint: "the profile hides it on purpose; use another profile to run it"}
	}
	return c.bindProgram(name, path)
}

func (c *compilation) executable(name, inside string, isDir bool) error {
	host := c.tree.hostPath(inside)
	switch {
	case isDir:
		return &LookupError{Name: name, Why: "is a directory", Code: 126}
	case c.tree.at(inside).opaque:
		return &LookupError{Name: name, Why: "hidden by " + c.tree.at(inside).rule.Short(), Code: 126, Hint: "the profile hides it on purpose; use another profile to run it"}
	case host == "":
		return nil
	}
	return c.accessible(name, host)
}

func (c *compilation) accessible(name, host string) error {
	if err := c.host.Files.Access(host, unix.X_OK); err != nil {
		return &LookupError{Name: name, Why: "not executable: " + bare(err).Error(), Code: 126, Hint: "chmod +x, or name its interpreter"}
	}
	return nil
}

// bindProgram shows one file of the host that the profile's mounts do not.
func (c *compilation) bindProgram(name, path string) error {
	notFound := &LookupError{Name: name, Why: "no such file", Code: 127}
	if c.profile.Root.Kind == policy.RootDir {
		notFound.Why = "no such file in the root directory"
		return notFound
	}
	if c.into != nil {
		notFound.Why = "no such file in the sandbox"
		return notFound
	}
	info, err := c.host.Files.Stat(path)
	if err != nil || info.IsDir() {
		return notFound
	}
	if err := c.accessible(name, path); err != nil {
		return err
	}
	host := tree{files: c.host.Files}
	host.add(part{target: "/", source: "/"})
	host.add(part{target: "/proc", source: "/proc", what: "proc"}) // through whose links nothing is bound
	real, err := host.resolve(path)
	if err != nil {
		return &LookupError{Name: name, Why: bare(err).Error(), Code: 126}
	}
	from := own("command")
	target, err := c.place(from, path, false)
	if err != nil {
		return &LookupError{Name: name, Why: "the profile hides it: " + err.Error(), Code: 126, Hint: "show its directory: --ro " + filepath.Dir(path)}
	}
	mnt := c.openSource(from, plan.Tree, real, attrRO|attrBase, "command")
	c.attach(from, mnt, target, false)
	c.tree.add(part{target: target, source: real, file: true, what: "the program"})
	c.added = append(c.added, Added{Path: path, Why: "the profile hides its directory"})
	return nil
}

// interpreter makes sure that what execve(2) loads for a program is there: a script's interpreter, or an ELF
// executable's. One below proc is refused: its magic links lead to the launcher's own image (CVE-2019-5736).
func (c *compilation) interpreter(path string, depth int) error {
	inside, err := c.tree.resolve(path)
	if err != nil {
		return &LookupError{Name: path, Why: bare(err).Error(), Code: 126}
	}
	host := c.tree.hostPath(inside)
	if host == "" || depth > maxInterpreters {
		return nil
	}
	head, err := c.host.Files.Read(host, 4096)
	if err != nil {
		return nil //nolint:nilerr // executable but not readable
	}
	if loader := elfInterpreter(head); loader != "" {
		if _, err := c.tree.resolve(clean(loader)); err != nil {
			return &LookupError{Name: path, Why: "its interpreter " + loader + ": " + bare(err).Error(), Code: 126}
		}
		return nil
	}
	words := shebang(head)
	if len(words) == 0 {
		return nil
	}
	if err := c.reach(words[0], words[0]); err != nil {
		return interpreterError(path, words[0], err)
	}
	if filepath.Base(words[0]) == "env" && c.profile.Syscalls.Exec == policy.ExecOnce {
		return &LookupError{Name: path, Why: "its interpreter env executes another program, and " + c.profile.Source("syscalls.exec").Short() + " allows one", Code: 126,
			Hint: "name the interpreter itself, as in cordon run … -- python3 " + path + ", or --exec any"}
	}
	if filepath.Base(words[0]) == "env" && len(words) > 1 && !strings.ContainsAny(words[1], "-=/") {
		if _, err := c.find(words[1]); err != nil {
			return interpreterError(path, words[1], err)
		}
	}
	return interpreterError(path, words[0], c.interpreter(words[0], depth+1))
}

// maxInterpreters is how many scripts may interpret each other: the kernel's own limit, exec_binprm.
const maxInterpreters = 5

// shebang is the interpreter's path and its arguments, none for what is no script.
func shebang(head []byte) []string {
	if !strings.HasPrefix(string(head), "#!") {
		return nil
	}
	line, _, _ := strings.Cut(string(head[2:]), "\n")
	words := strings.Fields(line)
	if len(words) == 0 || !strings.HasPrefix(words[0], "/") {
		return nil
	}
	return words
}

// elfInterpreter is the path in PT_INTERP of a 64-bit little-endian ELF file's beginning: elf(5).
func elfInterpreter(head []byte) string {
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
	var lookup *LookupError
	if err != nil && errors.As(err, &lookup) {
		return &LookupError{Name: path, Why: "its interpreter " + name + ": " + lookup.Why, Code: lookup.Code, Hint: lookup.Hint}
	}
	return err
}
