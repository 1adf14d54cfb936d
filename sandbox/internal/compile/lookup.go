package compile

// This file finds the program that the caller typed, as a shell would. If the profile hides the program's directory,
// cordon binds only the program's file and the file of its interpreter, read-only, and says so in the report.

import (
	"bytes"
	bin "encoding/binary"
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/plan"
)

// program is the program that the task executes.
type program struct {
	path string   // the path inside the sandbox
	args []string // the arguments, if they differ from the request's: for a script without "#!"
	Env  []string
}

// defaultPath is the list of directories in which cordon looks for the program if the task has no PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// lookup finds the program, its interpreter and the working directory inside the sandbox.
func (c *Compilation) lookup() error {
	if err := c.FindWorkdir(); err != nil {
		return err
	}
	path, err := c.Find(c.Req.Args[0])
	if err != nil {
		return err
	}
	c.Program.path = path
	if err := c.Interpreter(path, 0); err != nil || !c.isPlainText(path) {
		return err
	}
	return c.runByShell()
}

// FindWorkdir chooses the working directory. If the profile names none, it is the caller's working directory, or / if
// the sandbox does not show that.
func (c *Compilation) FindWorkdir() error {
	if w := c.Profile.Process.Workdir; w != "" {
		dir, err := c.expandTarget(w)
		if err == nil {
			dir, err = c.Tree.Resolve(dir)
		}
		if err == nil {
			if isDir, _ := c.Tree.Stat(dir); !isDir {
				err = errors.New("no such directory inside")
			}
		}
		if err != nil {
			return &fail.Error{Op: "process.workdir " + w, Err: fail.Bare(err), From: c.Where("process.workdir"), Hint: "bind it, or name one that exists"}
		}
		c.Workdir = dir
		return nil
	}
	c.Workdir = "/"
	if dir, err := c.Tree.Resolve(c.Host.Cwd); err == nil && c.startsIn(dir) {
		c.Workdir = c.Host.Cwd
	}
	return nil
}

// startsIn reports whether a program can start in a directory of the sandbox. The path must have no links. Below /proc
// it cannot, because the directories of the host's processes are not in the sandbox's /proc.
func (c *Compilation) startsIn(path string) bool {
	isDir, ok := c.Tree.Stat(path)
	p := c.Tree.At(path)
	return ok && isDir && (p.What != "proc" || path == p.Target)
}

// Find returns the absolute path, inside the sandbox, of a program that the caller has typed.
func (c *Compilation) Find(name string) (string, error) { return c.findFor(name, byCaller) }

func (c *Compilation) findFor(name string, by namedBy) (string, error) {
	if name == "" {
		return "", &fail.LookupError{Name: `""`, Why: "an empty name is no program", Code: 127}
	}
	if strings.Contains(name, "/") {
		path := paths.Clean(name)
		if name[0] != '/' {
			path = paths.Clean(paths.Join(c.typedFrom(), name))
		}
		return path, c.reach(name, path, by)
	}
	var denied error
	for dir := range strings.SplitSeq(c.searchPath(), ":") {
		if !strings.HasPrefix(dir, "/") {
			continue // a relative directory in PATH could find a program that the caller did not mean
		}
		path := paths.Join(paths.Clean(dir), name)
		err := c.reach(name, path, by)
		var lookup *fail.LookupError
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
	return "", &fail.LookupError{Name: name, Why: "not found in PATH inside the sandbox", Code: 127, Hint: c.notFoundHint(name)}
}

// notFoundHint returns the advice for a program that no directory of the sandbox's PATH contains. The caller's own PATH
// may differ from the sandbox's, and may contain the program.
func (c *Compilation) notFoundHint(name string) string {
	own := ""
	for _, v := range c.Req.Env {
		if p, ok := strings.CutPrefix(v, "PATH="); ok {
			own = p
		}
	}
	if own == c.searchPath() || own == "" || c.Profile.Root.Kind == policy.RootDir {
		return "no directory of PATH has it; PATH is " + c.searchPath() + "; is it installed? Otherwise name it by its path"
	}
	for dir := range strings.SplitSeq(own, ":") {
		if path := paths.Join(paths.Clean(dir), name); strings.HasPrefix(dir, "/") && c.Host.Files.Access(path, unix.X_OK) == nil {
			return "your own PATH has it: name it " + path
		}
	}
	return "neither the sandbox's PATH, which is " + c.searchPath() + ", nor your own PATH has it; is it installed?"
}

// typedFrom returns the directory to which a relative program name refers: the caller's working directory. If the
// sandbox has a root directory of its own, or is already running, it returns the working directory inside, because the
// host's paths mean something else there.
func (c *Compilation) typedFrom() string {
	if c.Profile.Root.Kind == policy.RootDir || c.Into != nil {
		return c.Workdir
	}
	return c.Host.Cwd
}

func (c *Compilation) searchPath() string {
	for _, v := range c.Program.Env {
		if p, ok := strings.CutPrefix(v, "PATH="); ok {
			return p
		}
	}
	return defaultPath
}

// reach makes sure that a program can be executed at path. If the profile's mounts do not show the program, reach binds
// it there. If a hide rule hides it, reach refuses.
func (c *Compilation) reach(name, path string, by namedBy) error {
	inside, err := c.Tree.Resolve(path)
	if err != nil {
		return &fail.LookupError{Name: name, Why: fail.Bare(err).Error(), Code: 126}
	}
	if isDir, ok := c.Tree.Stat(inside); ok {
		return c.executable(name, inside, isDir)
	}
	if p := c.Tree.At(inside); p.Opaque {
		return &fail.LookupError{Name: name, Why: "hidden by " + p.Rule.Short(), Code: 126, Hint: "the profile hides it on purpose; use another profile to run it"}
	}
	return c.bindProgram(name, path, by)
}

func (c *Compilation) executable(name, inside string, isDir bool) error {
	host := c.Tree.HostPath(inside)
	switch {
	case isDir:
		return &fail.LookupError{Name: name, Why: "is a directory", Code: 126}
	case c.Tree.At(inside).Opaque:
		return &fail.LookupError{Name: name, Why: "hidden by " + c.Tree.At(inside).Rule.Short(), Code: 126, Hint: "the profile hides it on purpose; use another profile to run it"}
	case host == "":
		return nil
	}
	return c.accessible(name, host)
}

func (c *Compilation) accessible(name, host string) error {
	if err := c.Host.Files.Access(host, unix.X_OK); err != nil {
		return &fail.LookupError{Name: name, Why: "not executable: " + fail.Bare(err).Error(), Code: 126, Hint: c.executeHint(host)}
	}
	return nil
}

// Environment returns the variables that the profile keeps, in the caller's order, and then those that it sets.
func (c *Compilation) Environment() []string {
	env := variables(c.Req.Env)
	out := make([]string, 0, len(env))
	for _, v := range env {
		name, _ := variable(v)
		if !c.Profile.Env.Keeps(name) && !c.ofNetwork(name, v) {
			continue
		}
		if strings.HasSuffix(name, "MAKEFLAGS") || name == "MFLAGS" {
			v = c.withoutJobserver(name, v)
		}
		out = append(out, v)
	}
	for _, v := range c.Profile.Env.Set {
		out = append(out, v.Name+"="+v.Value)
	}
	return out
}

// Environ returns the environment of the program, without the variables that a layer adds. It reads only Env and Into
// of the request.
func Environ(p *policy.Profile, r *Request) []string {
	if r.Into != nil {
		return overlayEnv(r.Into.Env, variables(r.Env))
	}
	return (&Compilation{Profile: p, Req: r}).Environment()
}

// variable returns the name in an entry NAME=VALUE, spelled as in env.keep. ok is false for an entry that has no name;
// a caller may inherit such entries from a faulty program.
func variable(entry string) (name string, ok bool) {
	name, _, ok = strings.Cut(entry, "=")
	return name, ok && name != ""
}

// variables drops entries that have no name. If two entries have the same name, it drops the first, as os/exec does.
// Programs disagree on which of two such entries holds, so a check of one would say nothing about the other.
func variables(env []string) []string {
	last := make(map[string]int, len(env))
	for i, v := range env {
		if name, ok := variable(v); ok {
			last[name] = i
		}
	}
	if len(last) == len(env) {
		return env
	}
	out := make([]string, 0, len(last))
	for i, v := range env {
		if name, ok := variable(v); ok && last[name] == i {
			out = append(out, v)
		}
	}
	return out
}

// The next part is about the file that execve(2) loads besides the program: the interpreter of a script
// (fs/binfmt_script.c) or of an ELF executable (elf(5)).
//
// A task of an earlier run may have written a script, so a script must not choose what the launcher binds. cordon reads
// the first line of a script exactly as the kernel does. If the profile hides the interpreter, cordon binds it only if
// it is an ELF executable whose path contains no link that a task could have made (showprogram.go). cordon refuses an
// interpreter below /proc, because magic links there lead to the launcher's own image (CVE-2019-5736).

// maxInterpreters is how many scripts in a row may be each other's interpreters; the kernel has the same limit.
const maxInterpreters = 5

// Interpreter checks that the sandbox shows the files that execve(2) loads for a program.
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

// scriptInterpreter makes sure that the sandbox shows a script's interpreter, and that interpreter's own interpreter.
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

// throughEnv finds the program that a first line "#!/usr/bin/env NAME" executes. If the line has flags or variables for
// env, it finds nothing.
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

// isEnv reports whether a path leads to the system's env(1). Any other file named env is an ordinary interpreter.
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

// absolute makes a path absolute. Like execve(2), it takes a relative path from the working directory.
func (c *Compilation) absolute(path string) string {
	if strings.HasPrefix(path, "/") {
		return paths.Clean(path)
	}
	return paths.Clean(paths.Join(c.Workdir, path))
}

// scriptHead is how many bytes the kernel reads from the beginning of a script: BINPRM_BUF_SIZE, since Linux 5.1.
const scriptHead = 256

// shebang returns the interpreter and the one argument that the kernel would take from the first bytes of a file. ok is
// false if the kernel would not treat the file as a script. Words are separated by spaces and tabs only, and a NUL ends
// the name. The bytes that the kernel reads may contain no newline. Then the interpreter's name is used only if
// something ends it, and the argument may be cut off.
func shebang(head []byte) (name, arg string, ok bool) {
	const blanks = " \t"
	line := make([]byte, scriptHead) // the rest of the kernel's buffer is NUL
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
		return string(rest), "", ended // if nothing ends the name, the kernel may have cut it off
	case rest[cut] == 0:
		return string(rest[:cut]), "", true
	}
	text, _, _ := bytes.Cut(bytes.TrimLeft(rest[cut:], blanks), []byte{0})
	return string(rest[:cut]), string(text), true
}

// ElfInterpreter returns the interpreter's path (PT_INTERP) in the head of a 64-bit little-endian ELF file: elf(5).
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

// execCall returns the system call that starts the program.
func (c *Compilation) execCall() plan.Call {
	if c.Profile.Syscalls.Exec == policy.ExecOnce || c.Into != nil || c.watched() {
		return plan.Execveat
	}
	return plan.Execve
}

func (c *Compilation) exec() error {
	list := c.Req.Args
	if c.Program.args != nil {
		list = c.Program.args
	}
	args, env := join0(list), join0(c.Program.Env)
	if c.execCall() == plan.Execveat {
		c.do(own("command"), plan.ExecOnce(c.Program.path, args, env, c.Nonce))
		return nil
	}
	c.do(own("command"), plan.Exec(c.Program.path, args, env))
	return nil
}

// join0 joins strings, and ends each with a NUL.
func join0(list []string) string {
	n := 0
	for _, s := range list {
		n += len(s) + 1
	}
	b := make([]byte, 0, n)
	for _, s := range list {
		b = append(append(b, s...), 0)
	}
	return string(b)
}

// missingCap returns the error for a capability that the profile keeps and the launcher itself does not have.
func missingCap(k *policy.Capability) error {
	return &fail.UnsupportedError{Layer: policy.LayerCaps, From: k.Pos.Short(),
		Why:    "the launcher itself is missing CAP_" + k.Name + ": with namespaces.user: host the task can only keep what the launcher has",
		Remedy: "start cordon with it (docker run --cap-add " + k.Name + "), leave it out, or leave out namespaces.user: host"}
}
