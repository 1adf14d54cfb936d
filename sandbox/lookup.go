package sandbox

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
	path, err := c.find(c.req.Args[0])
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
				err = errors.New("no such directory inside")
			}
		}
		if err != nil {
			return &Error{Op: "process.workdir " + w, Err: fail.Bare(err), From: c.where("process.workdir"), Hint: "bind it, or name one that exists"}
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
func (c *compilation) find(name string) (string, error) { return c.findFor(name, byCaller) }

func (c *compilation) findFor(name string, by namedBy) (string, error) {
	if name == "" {
		return "", &LookupError{Name: `""`, Why: "an empty name is no program", Code: 127}
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
func (c *compilation) reach(name, path string, by namedBy) error {
	inside, err := c.tree.resolve(path)
	if err != nil {
		return &LookupError{Name: name, Why: fail.Bare(err).Error(), Code: 126}
	}
	if isDir, ok := c.tree.stat(inside); ok {
		return c.executable(name, inside, isDir)
	}
	if p := c.tree.at(inside); p.opaque {
		return &LookupError{Name: name, Why: "hidden by " + p.rule.Short(), Code: 126, Hint: "the profile hides it on purpose; use another profile to run it"}
	}
	return c.bindProgram(name, path, by)
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
		return &LookupError{Name: name, Why: "not executable: " + fail.Bare(err).Error(), Code: 126, Hint: "chmod +x, or name its interpreter"}
	}
	return nil
}
