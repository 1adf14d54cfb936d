package sandbox

// Advice after a run that failed, from evidence only: what the kernel counted, and what the command named.

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/report"
)

// execHint says that the filter forbids the launcher's own execve, whatever the errno, and by which rule; "" where
// execve may pass.
func (c *compilation) execHint() string {
	spec, err := c.spec()
	if err != nil {
		return ""
	}
	q, err := filter.ParseQuery(c.execCall().String(), c.arch)
	if err != nil {
		return ""
	}
	outcomes, err := filter.Ask(spec, c.arch, q)
	if err != nil || slices.ContainsFunc(outcomes, func(o filter.Outcome) bool { return o.Action.Kind == filter.Allow || o.Action.Kind == filter.Log }) {
		return ""
	}
	text := "the filter forbids the launcher's own execve"
	switch o := &outcomes[0]; {
	case len(o.From) > 0:
		text += " (" + strings.Join(o.From, ", ") + ")"
	case o.By == filter.ByDefault:
		text += "; allow it with --allow-syscall execve"
	}
	return text
}

// hintFor looks at an argument that names a path: one that the host has and the sandbox does not, or a new file in a
// directory that is read-only inside.
func (c *compilation) hintFor(args []string, i int) (report.Hint, bool) {
	arg := args[i]
	if _, value, ok := strings.Cut(arg, "="); ok && strings.HasPrefix(arg, "-") {
		arg = value
	}
	if arg == "" || strings.HasPrefix(arg, "-") || c.profile.Root.Kind == policy.RootDir || strings.ContainsAny(arg, "\x00\n\t ;|&$<>()") {
		return report.Hint{}, false
	}
	path := arg
	if path[0] != '/' {
		path = paths.Join(c.workdir, path)
	}
	path, err := c.tree.resolve(paths.Clean(path))
	if err != nil {
		return report.Hint{}, false
	}
	part := c.tree.at(path)
	if part == nil || part.opaque || path == "/" {
		return report.Hint{}, false
	}
	_, inside := c.tree.stat(path)
	_, err = c.host.Files.Lstat(path)
	dir, _ := paths.Split(path)
	switch {
	case !inside && err == nil:
		return report.Hint{Text: path + " is not visible in the sandbox", Rule: part.rule, Flag: "--ro " + path}, true
	case inside || err == nil || part.write || !writes(args, i):
		return report.Hint{}, false
	}
	if isDir, ok := c.tree.stat(dir); ok && isDir && dir != "/" && c.host.Files.Access(dir, unix.W_OK) == nil {
		return report.Hint{Text: dir + " is read-only in the sandbox", Rule: part.rule, Flag: "--rw " + dir}, true
	}
	return report.Hint{}, false
}

// writes reports whether an argument is likely to name a file to be written: it follows -o, or belongs to a program that
// makes what it is told to.
func writes(args []string, i int) bool {
	switch args[i-1] {
	case "-o", "--output":
		return true
	}
	_, name := paths.Split("/" + args[0])
	switch name {
	case "cp", "dd", "install", "ln", "mkdir", "mktemp", "mv", "tee", "touch", "truncate":
		return true
	}
	return false
}
