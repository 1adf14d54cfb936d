package compile

// What was typed works: the program is looked up as a shell would, and where the profile hides its directory, that one
// file and a script's interpreter are bound read-only, and the report says so.

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
)

// program is what is exec'd.
type program struct {
	path string   // inside
	args []string // of a program that joins a sandbox
	Env  []string
}

// defaultPath is searched where the task has no PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// lookup finds the program, its interpreter and the working directory.
func (c *Compilation) lookup() error {
	c.Program.Env = c.Environment()
	if err := c.FindWorkdir(); err != nil {
		return err
	}
	path, err := c.Find(c.Req.Args[0])
	if err != nil {
		return err
	}
	c.Program.path = path
	return c.Interpreter(path, 0)
}

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
	if dir, err := c.Tree.Resolve(c.Host.Cwd); err == nil {
		if isDir, ok := c.Tree.Stat(dir); ok && isDir {
			c.Workdir = c.Host.Cwd
		}
	}
	return nil
}

// Find is the absolute path, inside, of a program as typed.
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
			continue // a relative directory in PATH finds what the caller did not name
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
	return "", &fail.LookupError{Name: name, Why: "not found in PATH inside the sandbox", Code: 127, Hint: "name it by its path, or keep PATH with env: {keep: [PATH]}"}
}

// typedFrom is the directory that a relative name starts at: the caller's, except in a root directory, where the
// names are the root's own.
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

// reach makes sure that a program can be executed at path, and binds it there where it is only hidden.
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
		return &fail.LookupError{Name: name, Why: "not executable: " + fail.Bare(err).Error(), Code: 126, Hint: "chmod +x, or name its interpreter"}
	}
	return nil
}
