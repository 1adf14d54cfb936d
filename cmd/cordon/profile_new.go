package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/profiles"
)

func newProfileNew(u *ui) *cobra.Command {
	var extends []string
	c := &cobra.Command{
		Use:   "new NAME [--extends PROFILE]",
		Short: "Create a profile from a commented template",
		Long: "Create a profile from a commented template, and print its path.\n\n" +
			"A plain NAME goes to your profile directory, where -p NAME finds it. A NAME with a slash is a file. This command never\n" +
			"overwrites a file.",
		DisableFlagsInUseLine: true,
		Args:                  cobra.MatchAll(needArgs(1, "the name"), atMost(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			path, err := newProfileFile(args[0], extends)
			if err != nil {
				return err
			}
			return u.write(clean(path) + "\n")
		},
	}
	c.Flags().StringArrayVar(&extends, "extends", []string{profiles.DefaultName}, "`PROFILE` to build on; may be repeated")
	return c
}

// newProfileFile writes the template and returns the path of the file.
func newProfileFile(name string, extends []string) (string, error) {
	path := name
	if !strings.Contains(name, "/") {
		dirs := search().Dirs
		if dirs[0] == profiles.SystemDir {
			return "", &cliError{err: errors.New("profile new: no home directory: HOME is not set"), hint: "name a file with a slash: ./" + name + ".yaml"}
		}
		path = filepath.Join(dirs[0], name+".yaml")
	}
	text := template(strings.TrimSuffix(filepath.Base(path), ".yaml"), extends)
	if _, err := policy.Parse(path, []byte(text)); err != nil {
		return "", err
	}
	if !strings.Contains(name, "/") {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return "", newError(path, err)
		}
	}
	g := newGuard(false)
	defer g.Close()
	out, err := g.Output(path, false)
	if err != nil {
		return "", newError(path, err)
	}
	defer unix.Close(out.Dir)
	fd, err := unix.Openat(out.Dir, out.Name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return "", newError(path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	_, err = f.WriteString(text)
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		_ = unix.Unlinkat(out.Dir, out.Name, 0)
		return "", newError(path, err)
	}
	return path, nil
}

func newError(path string, err error) error {
	e := &cliError{err: because("profile new: "+strconv.Quote(path), err), hint: plantedHint(err)}
	if errors.Is(err, fs.ErrExist) {
		e.hint = "choose another name; a profile is never overwritten"
	}
	return e
}

// template returns the text of a new profile that changes nothing in the profiles that it extends, with comments that
// show further keys.
func template(name string, extends []string) string {
	quoted := make([]string, len(extends))
	for i, e := range extends {
		quoted[i] = strconv.Quote(e)
	}
	return `# For whom, and against what.
#
# cordon profile check FILE               what is wrong with it
# cordon profile show FILE --effective    what it comes to, with the source of each value
# cordon plan -p FILE -- COMMAND          what it does

version: 1
name: ` + strconv.Quote(name) + `
about: Say in a sentence what it is for.
extends: [` + strings.Join(quoted, ", ") + `]

# Lists add to what is inherited; "remove: VALUE" in the same section takes a value away.

# mounts:
#   - {bind: ., mode: rw}                     # the working directory, writable
#   - {bind: ~/data, target: /data}           # read-only, somewhere else
#   - {bind: ~/.cache/tool, optional: true}   # may be missing
#   - {tmpfs: /scratch, size: 1GiB}

# hide: ["**/.env", ~/.config/tool]           # beats every mount; cannot be taken away

# network: host                               # none is the default

# env:
#   keep: [EDITOR, "TOOL_*"]
#   set: {CI: "true"}

# syscalls:
#   allow: [ptrace]
#   deny: ["@keyring"]                        # beats every allow; cannot be taken away

# limits:
#   wall: 10m
#   rlimits: {nofile: 4096, fsize: 4GiB}
`
}
