package compile

// This file protects the files that decide what the next run may do: the profiles of this run, the directories in which
// cordon looks for profiles, and the records of what sandboxes could write (package ledger). A task can neither write
// nor replace these files, whatever its profile binds.

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/plan"
	"cordon/sandbox/report"
)

// makeOwn creates each of these directories that does not exist and that the task could create, because nothing can be
// mounted on a missing directory. If the plan is only printed, makeOwn makes nothing.
func (c *Compilation) makeOwn() error {
	if c.AsItIs() {
		return nil
	}
	h := c.hider()
	if !h.writes {
		return nil
	}
	for _, dir := range c.Req.Search {
		if err := h.makeMissing(dir, "profile directory"); err != nil {
			return err
		}
	}
	for _, place := range c.Host.Records {
		if err := h.makeMissing(place.Path(), "record of what sandboxes could write"); err != nil {
			return err
		}
	}
	return nil
}

// makeMissing creates a directory if it is missing and the task could create it.
func (h *hider) makeMissing(dir, what string) error {
	if !strings.HasPrefix(dir, "/") {
		return nil
	}
	w := picture.Walker{Tree: h.c.hostTree()}
	// If the path does not exist, Walk returns the first directory on the way that is missing.
	missing, err := w.Walk(paths.Clean(dir))
	if !fail.NotThere(err) {
		return nil // it exists, or it cannot be examined
	}
	above, _ := paths.Split(missing)
	// In a plan that is only printed, MakeDir is nil and nothing is made.
	writes, err := h.couldMake(above)
	if err != nil || !writes || h.c.Req.MakeDir == nil {
		return err
	}
	full, err := h.c.hostTree().Resolve(paths.Clean(dir))
	if err == nil {
		err = h.c.Req.MakeDir(full)
	}
	if err != nil {
		return &fail.Error{Op: "make the " + what + " " + dir, Err: fail.Bare(err),
			Hint: "the program could make it, and so decide about later runs: make it yourself, or let the sandbox write less than " + above}
	}
	// The model of the tree remembers that these directories do not exist, so their entries are removed.
	for at := missing; ; at = full[:len(at)+1+len(firstName(full[len(at)+1:]))] {
		delete(h.c.Tree.Known, at)
		if at == full {
			break
		}
	}
	h.c.note("made " + dir + ", because the program could have made it; the program cannot write there")
	return nil
}

// firstName returns the first component of a relative path.
func firstName(path string) string {
	name, _, _ := strings.Cut(path, "/")
	return name
}

// couldMake reports whether the task can create files in a directory of the host. Changes that go to an overlay do not
// matter, because they do not reach the host's directory.
func (h *hider) couldMake(host string) (bool, error) {
	// The task may write only what the launcher may write.
	if h.c.Host.Files.Access(host, unix.W_OK) != nil {
		return false, nil
	}
	places, err := h.c.places(h.windows, host)
	for _, place := range places {
		if shown := h.c.Tree.HostPath(place); shown != host && paths.Below(shown, host) {
			continue // only a part of the directory: what is made there is not made in host
		}
		if p := h.c.Tree.At(place); p.Write && !p.Layer && !p.Opaque {
			return true, nil
		}
	}
	return false, err
}

// guardOwn makes the profiles and their directories read-only, and hides the records. Otherwise a task could change the
// caller's profile, replace the directory of profiles, or remove the record of what it wrote. Each of these would give
// the next run more rights than the caller allows.
func (c *Compilation) guardOwn() error {
	if c.AsItIs() {
		return nil
	}
	h := c.hider()
	h.from = own("records")
	for _, place := range c.Host.Records {
		if !h.writes && c.IDs.Own && c.Host.UID == 0 {
			continue // the record belongs to root, and the task's id may not search its directory
		}
		if err := h.path(place.Path()); err != nil {
			return &fail.Error{Op: "hide " + place.Path(), Err: err}
		}
	}
	if !h.writes {
		return nil
	}
	if err := c.guardCaches(h); err != nil {
		return err
	}
	h.from = own("profiles")
	for i := range c.Req.Profiles {
		if err := h.protect(c.Req.Profiles[i].Path); err != nil {
			return err
		}
	}
	for _, dir := range c.Req.Search {
		if err := h.protect(dir); err != nil {
			return err
		}
	}
	return nil
}

// protect makes a file or directory of the host read-only wherever the sandbox shows it, and keeps the task from moving
// the names that lead to it.
func (h *hider) protect(path string) error {
	if !strings.HasPrefix(path, "/") || paths.Below(path, "/proc") {
		return nil
	}
	var passed []string
	w := picture.Walker{Tree: h.c.hostTree(), Visit: func(p string) { passed = append(passed, p) }}
	end, err := w.Walk(paths.Clean(path))
	if err = h.unsearchable(&end, err); err == nil && end != "" {
		for _, p := range passed {
			if p != end {
				h.holdOnHost(p)
			}
		}
		err = h.protectThing(end)
	}
	if err != nil {
		return &fail.Error{Op: "protect " + path, Err: err}
	}
	return nil
}

// protectThing does what protect does, for a path that contains no symbolic link.
func (h *hider) protectThing(host string) error {
	places, err := h.c.places(h.windows, host)
	if err != nil {
		return err
	}
	for _, place := range places {
		if err := h.c.protect(h.from, place, policy.Pos{}); err != nil {
			return err
		}
	}
	return nil
}

// Writes lists the files and directories of the host that the task can write: the source of each writable mount, and
// each directory that stores an overlay's changes. Package ledger records them.
func (c *Compilation) Writes() []string {
	if c.AsItIs() {
		return nil // an audited program is not confined, so it is not recorded
	}
	var list []string
	// Changes in an overlay end up in the directory that stores the overlay's changes.
	for _, l := range c.layers {
		list = append(list, l.path)
	}
	// A hiding or protecting mount lies within another mount; if the task can write that other mount, it is in the
	// list. The kernel's file systems are left out, because nobody keeps a profile there.
	for i := range c.Tree.Parts {
		p := &c.Tree.Parts[i]
		if p.Write && !p.Layer && p.Guard == 0 && p.Source != "" && !ofKernel(p.Source) {
			list = append(list, p.Source)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// ofKernel reports whether a path is a device or lies on a file system of the kernel's own. Nobody keeps a profile at
// such a path.
func ofKernel(path string) bool {
	for _, dir := range [...]string{"/proc", "/sys", "/dev"} {
		if paths.Below(path, dir) {
			// /dev/shm is an ordinary tmpfs, in which everybody can keep files: shm_overview(7).
			return !paths.Below(path, "/dev/shm")
		}
	}
	return false
}

// The next part is about tools in the home, which version managers and installers of languages put there. The command
// of such a tool does not work without the directory that it belongs to, and this directory contains programs, not
// secrets. So if the program is such a tool, cordon also shows the tool's own tree, read-only: from the directory in
// which the command really lies up to the directory of the tool's version.

// toolTrees lists where tools are installed below a home. "*" stands for the name of a version, an environment or a
// package. A tool with more than one directory needs all of them.
var toolTrees = [...][]string{
	{".nvm/versions/node/*"}, {".local/share/fnm/node-versions/*"}, {".fnm/node-versions/*"}, {".volta"}, {".nodenv"},
	{".npm-global"}, {".npm-packages"}, {".local/lib/node_modules/*"}, {".local/share/pnpm"}, {".bun"}, {".deno"},
	{".pyenv"}, {".local/share/pipx/venvs/*"}, {".local/pipx/venvs/*"}, {".local/share/uv/tools/*"}, {".local/share/uv/python/*"},
	{"miniconda3"}, {"anaconda3"}, {"miniforge3"}, {"mambaforge"}, {".conda/envs/*"},
	{".cargo/bin", ".rustup"}, {".rustup", ".cargo/bin"}, {".rbenv"}, {".rvm"}, {".goenv"}, {".ghcup"}, {".sdkman/candidates/*/*"}, {".jenv"},
	{".asdf"}, {".local/share/mise"}, {".local/share/rtx"},
}

// caches lists directories below a home in which tools keep what they have downloaded. Everybody can download the same,
// so these directories hold no secret.
var caches = [...]string{"go/pkg/mod", ".cache/go-build", ".cargo/registry", ".m2/repository", ".gradle/caches", ".nuget/packages",
	".npm/_cacache", ".cache/yarn", ".cache/pnpm", ".cache/pip", ".cache/uv", ".nvm", ".pyenv", ".rustup", ".cargo/bin"}

// cacheOfTool reports whether a mount shows a tool's cache, so that a rule for names at any depth need not look through
// it. The cache must be below the home and read-only, and a profile must name it. A directory that a flag names, or
// that contains the working directory, is no cache in this sense, because the user works on it.
func (c *Compilation) cacheOfTool(m *policy.Mount, target, source string) bool {
	home := c.sourceHome()
	if m.Pos.Flag != "" || home == "" || home == "/" || !paths.Below(source, home) || source == home ||
		paths.Below(c.Host.Cwd, source) || c.Tree.WritableBelow(target) {
		return false
	}
	rest := source[len(home)+1:]
	return slices.ContainsFunc(caches[:], func(dir string) bool { return paths.Below(rest, dir) })
}

// treesOf lists the directories, below a home, of the tool that a path below the home belongs to. The first directory
// contains the path. For example, .nvm/versions/node/v20/bin/npm belongs to .nvm/versions/node/v20.
func treesOf(path string) (trees []string) {
	for _, places := range toolTrees {
		rest, names := path, 0
		for want := range strings.SplitSeq(places[0], "/") {
			var name string
			name, rest, _ = strings.Cut(rest, "/")
			if name == "" || want != "*" && want != name {
				names = -1
				break
			}
			names += len(name) + 1
		}
		// The tree itself is not a program, so the path must lie below it.
		if names > 0 && rest != "" {
			return append([]string{path[:names-1]}, places[1:]...)
		}
	}
	return nil
}

// tools shows the tools in the home to which the program and its interpreters belong. It does nothing if the program
// cannot lie below the home, nor in a directory of PATH that is below the home.
func (c *Compilation) tools() error {
	c.Program.Env = c.Environment()
	home := c.Host.Home
	if home == "" || home == "/" || c.Profile.Root.Kind != policy.RootHost || c.AsItIs() {
		return nil
	}
	if !paths.Below(c.fromCwd(c.Req.Args[0]), home) && !strings.Contains(":"+c.searchPath(), ":"+home+"/") {
		return nil
	}
	return c.toolFor(c.Req.Args[0], 0)
}

// fromCwd makes a name that contains a slash an absolute path of the host. It returns a name without a slash unchanged.
func (c *Compilation) fromCwd(name string) string {
	if !strings.Contains(name, "/") || strings.HasPrefix(name, "/") {
		return name
	}
	return paths.Clean(paths.Join(c.Host.Cwd, name))
}

// toolFor shows the tool to which a program belongs, and the tool of the program's interpreter.
func (c *Compilation) toolFor(name string, depth int) error {
	path := c.candidate(name)
	if path == "" || depth > maxInterpreters {
		return nil
	}
	inside, err := c.Tree.Resolve(path)
	if err != nil {
		return nil //nolint:nilerr // lookup reports the error
	}
	if _, there := c.Tree.Stat(inside); !there {
		if shown, err := c.showTool(path); !shown || err != nil {
			return err
		}
		inside, err = c.Tree.Resolve(path)
	}
	if err != nil {
		return nil //nolint:nilerr // lookup reports the error
	}
	head, err := c.Host.Files.Read(c.Tree.HostPath(inside), scriptHead)
	if err != nil {
		return nil //nolint:nilerr // it may be executable all the same
	}
	interpreter, arg, ok := shebang(head)
	switch {
	case !ok:
		return nil
	case c.isEnv(interpreter) && !strings.ContainsAny(arg, "-=/ \t"):
		return c.toolFor(arg, depth+1)
	}
	return c.toolFor(interpreter, depth+1)
}

// candidate returns the path of the program that the task's PATH finds, in the sandbox or on the host, or "" if it
// finds none.
func (c *Compilation) candidate(name string) string {
	if path := c.fromCwd(name); strings.HasPrefix(path, "/") {
		return paths.Clean(path)
	}
	if name == "" {
		return ""
	}
	for dir := range strings.SplitSeq(c.searchPath(), ":") {
		if !strings.HasPrefix(dir, "/") {
			continue
		}
		path := paths.Join(paths.Clean(dir), name)
		if inside, err := c.Tree.Resolve(path); err == nil {
			if isDir, there := c.Tree.Stat(inside); there && !isDir {
				return path
			}
		}
		if c.hostTree().Absent(path) {
			continue
		}
		if info, err := c.Host.Files.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// showTool shows the trees of the tools through which the links in a program's path lead. It reports whether the
// program exists inside after that. If a task has made one of these links, that does no harm, because showTool shows
// only trees of known tools. It does not suffice to show only the program's file, because the program finds its
// libraries by its own path.
func (c *Compilation) showTool(path string) (bool, error) {
	if c.Host.Home == "" || !paths.Below(path, c.Host.Home) && !paths.Below(path, c.sourceHome()) {
		return false, nil
	}
	var trees []string
	end, passed, err := (&picture.Walker{Tree: c.hostTree()}).Through(path)
	if err != nil {
		return false, nil //nolint:nilerr // lookup reports the error
	}
	home := c.sourceHome()
	// Each link on the way can belong to another tool, as a shim of a version manager does.
	for _, p := range append(passed, end) {
		if !paths.Below(p, home) || p == home {
			continue
		}
		for _, tree := range treesOf(p[len(home)+1:]) {
			if tree = home + "/" + tree; !slices.Contains(trees, tree) {
				trees = append(trees, tree)
			}
		}
	}
	if len(trees) == 0 {
		return false, nil
	}
	for _, tree := range trees {
		if err := c.showTree(tree); err != nil {
			return false, err
		}
	}
	if _, there := c.Tree.Stat(end); !there {
		return false, nil
	}
	return true, c.linkProgram(path, end)
}

// toolTree is the What of a mount that shows a tool's tree.
const toolTree = "a tool's own directory"

// showTree binds a tree of a tool read-only at its own path, unless the sandbox shows the tree already or a rule hides
// it.
func (c *Compilation) showTree(tree string) error {
	info, err := c.Tree.Lstat(tree)
	if err != nil || !info.IsDir() || c.hiding(tree) != "" || c.Tree.HostPath(tree) == tree {
		return nil //nolint:nilerr // if a program needs the missing tree, the program reports that
	}
	if follower, ok := c.Host.Files.(follower); ok {
		if end, err := follower.Follow(tree, c.Host.Records, false); err != nil || end != tree {
			return nil //nolint:nilerr // a link in its place may be a task's work
		}
	}
	from := own("tool")
	target, err := c.place(from, tree, true)
	if err != nil {
		return nil //nolint:nilerr // lookup searches for the program without the tree
	}
	mnt := c.openSource(from, plan.Tree, tree, picture.AttrRO|picture.AttrBase, "tool")
	c.attach(from, mnt, target, false)
	c.Tree.Add(picture.Part{Target: target, Source: tree, What: toolTree})
	c.Added = append(c.Added, report.Added{Path: tree, Why: "the program's own tree, read-only", Usual: true})
	return nil
}

// linkProgram creates a link from a program's name to its file, if the name lies outside of the tool's tree. For
// example, the name may be a link in a bin directory of the home.
func (c *Compilation) linkProgram(path, end string) error {
	inside, err := c.Tree.Resolve(path)
	if err != nil {
		return err
	}
	if _, there := c.Tree.Stat(inside); there {
		return nil
	}
	from := own("tool")
	return c.makeNode(from, &policy.Mount{Kind: policy.MountSymlink, Source: end, Target: inside}, inside)
}

// InPlace reports whether the program runs without namespaces.
func (c *Compilation) InPlace() bool { return c.Profile.Namespaces.None }
