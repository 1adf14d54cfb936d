package compile

// Advice after a run that failed, from evidence only: what the kernel counted, and what the command named.

import (
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/internal/walk"
	"cordon/sandbox/plan"
	"cordon/sandbox/report"
)

// ExecHint says that the filter forbids the launcher's own execve, whatever the errno, and by which rule; "" where
// execve may pass.
func (c *Compilation) ExecHint() string {
	spec, err := c.Spec()
	if err != nil {
		return ""
	}
	q, err := filter.ParseQuery(c.execCall().String(), c.Arch)
	if err != nil {
		return ""
	}
	outcomes, err := filter.Ask(spec, c.Arch, q)
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

// KillHints are for a program that SIGSYS has ended. What the filter kills is told to nobody, but a call of an architecture
// that is not listed is killed whatever the profile says of calls, and often that is all that it kills.
func (c *Compilation) KillHints() []report.Hint {
	kills := func(a filter.Action) bool {
		return a.Kind == filter.Kill || a.Kind == filter.KillThread || a.Kind == filter.Trap
	}
	byRule := false
	if spec, err := c.Spec(); err == nil {
		byRule = kills(spec.Default) || kills(spec.Unknown) || slices.ContainsFunc(spec.Rules, func(r filter.Rule) bool {
			return kills(r.Else) || strings.HasPrefix(r.Expr, "kill") || r.Expr == "trap"
		})
	}
	foreign := report.Hint{Text: "a call of an architecture that the profile does not list ended it: a 32-bit program, int 0x80, or x32",
		Rule: c.Profile.Source("syscalls.arches"), Flag: "--arch " + foreignArches(c.Arch)}
	if !byRule {
		return []report.Hint{foreign}
	}
	foreign.Text = "if it is a 32-bit program, or calls by int 0x80 or as x32, its architecture is not listed"
	return []report.Hint{{Text: "a system call that the profile does not allow ended it, and what is killed names no call",
		Rule: c.Profile.Source("syscalls.default"), Flag: "--syscall-default 'errno(EPERM)' --on-denial report, which names it"}, foreign}
}

// foreignArches are the architectures whose programs a machine runs besides its own.
func foreignArches(native filter.Arch) string {
	switch native {
	case filter.AMD64:
		return "i386, or --arch x32"
	case filter.ARM64:
		return "arm"
	}
	return "NAME"
}

// HintFor looks at an argument that names a path: one that the host has and the sandbox does not, or a new file in a
// directory that is read-only inside.
func (c *Compilation) HintFor(args []string, i int) (report.Hint, bool) {
	arg := args[i]
	if _, value, ok := strings.Cut(arg, "="); ok && strings.HasPrefix(arg, "-") {
		arg = value
	}
	if arg == "" || strings.HasPrefix(arg, "-") || c.Profile.Root.Kind == policy.RootDir || strings.ContainsAny(arg, "\x00\n\t ;|&$<>()") {
		return report.Hint{}, false
	}
	path := arg
	if path[0] != '/' {
		path = paths.Join(c.Workdir, path)
	}
	path, err := c.Tree.Resolve(paths.Clean(path))
	if err != nil {
		return report.Hint{}, false
	}
	part := c.Tree.At(path)
	if part == nil || part.Opaque || path == "/" {
		return report.Hint{}, false
	}
	_, inside := c.Tree.Stat(path)
	_, err = c.Host.Files.Lstat(path)
	dir, _ := paths.Split(path)
	switch {
	case !inside && err == nil && makes(args):
		return report.Hint{}, false // a name of the host's in the way is not what it wants to see
	case !inside && err == nil:
		return report.Hint{Text: path + " is not visible in the sandbox", Rule: part.Rule, Flag: "--ro " + path}, true
	case inside || err == nil || part.Write || !writes(args, i):
		return report.Hint{}, false
	}
	if isDir, ok := c.Tree.Stat(dir); ok && isDir && dir != "/" && c.Host.Files.Access(dir, unix.W_OK) == nil {
		return report.Hint{Text: dir + " is read-only in the sandbox", Rule: part.Rule, Flag: "--rw " + dir}, true
	}
	return report.Hint{}, false
}

// makes reports whether a program makes every path that it is told.
func makes(args []string) bool {
	switch _, name := paths.Split("/" + args[0]); name {
	case "mkdir", "mkfifo", "mknod", "mktemp":
		return true
	}
	return false
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

// Advice where the working directory is a part of something whose top the sandbox does not show.

// tops are what tools look for in the directories above, by the word of a command that names the tool.
var tops = [...]struct {
	what  string
	names []string
	tools []string
}{
	{"repository", []string{".git"}, []string{"git"}},
	{"Go module", []string{"go.mod", "go.work"}, []string{"go", "gopls", "golangci-lint", "staticcheck"}},
}

// HintAbove says that the working directory lies in a repository or a module whose top is not shown, or is a working tree
// whose repository is not, where the command names a tool that needs it.
func (c *Compilation) HintAbove(args []string) (report.Hint, bool) {
	p := c.Tree.At(c.Host.Cwd)
	if p == nil || c.Tree.HostPath(c.Host.Cwd) != c.Host.Cwd {
		return report.Hint{}, false
	}
	for _, t := range tops {
		if !slices.ContainsFunc(args, func(arg string) bool { return namesTool(arg, t.tools) }) {
			continue
		}
		for dir := c.Host.Cwd; dir != "/"; dir, _ = paths.Split(dir) {
			info, ok := c.firstOf(dir, t.names)
			if !ok {
				continue
			}
			if c.Tree.HostPath(dir) == dir {
				return c.hintGitFile(dir, info, p)
			}
			h := report.Hint{Text: "the working directory lies in the " + t.what + " " + dir + ", whose top the sandbox does not show; start it there", Rule: p.Rule}
			if why, err := c.unfit(dir); err == nil && why == "" {
				h.Flag = bindFlag(p) + dir
			}
			return h, true
		}
	}
	return report.Hint{}, false
}

// hintGitFile is for a working tree whose .git names a directory that is not shown.
func (c *Compilation) hintGitFile(top string, info fs.FileInfo, p *picture.Part) (report.Hint, bool) {
	g := &gitGuard{c: c}
	if info.Name() != ".git" || !info.Mode().IsRegular() {
		return report.Hint{}, false
	}
	dir := g.gitDir(top)
	if dir == "" || c.Tree.HostPath(dir) == dir || !g.isGitDir(dir) {
		return report.Hint{}, false
	}
	if common := g.follow(dir, g.line(paths.Join(dir, "commondir"))); common != "" {
		dir = common
	}
	flag := bindFlag(p) + dir
	if c.Profile.Git == policy.GitProtect {
		flag = "--ro " + dir
	}
	return report.Hint{Text: "the repository of " + top + " is " + dir + ", which does not name this working tree; if you know it, show it",
		Rule: p.Rule, Flag: flag}, true
}

func bindFlag(p *picture.Part) string {
	if p.Write {
		return "--rw "
	}
	return "--ro "
}

func (c *Compilation) firstOf(dir string, names []string) (fs.FileInfo, bool) {
	for _, name := range names {
		if info, err := c.Host.Files.Lstat(paths.Join(dir, name)); err == nil {
			return info, true
		}
	}
	return nil, false
}

// namesTool reports whether an argument is, or contains as a word, the name of a tool: "/usr/bin/git", "git status; x".
func namesTool(arg string, tools []string) bool {
	return slices.ContainsFunc(strings.FieldsFunc(arg, func(r rune) bool { return strings.ContainsRune(" \t\n;&|()/\"'`", r) }),
		func(word string) bool { return slices.Contains(tools, word) })
}

// Ways on: what a host refuses, and what is done in its place.

// way notes what the sandbox does on this host where the usual is refused, and is no weaker for it.
func (c *Compilation) way(layer policy.Layer, why, how string) {
	c.Ways = append(c.Ways, report.Way{Layer: layer, Why: why, How: how})
}

// staysReadable keeps the child readable for a launcher without CAP_SYS_PTRACE: the change of ids took that away, and nothing
// could be read back. Nobody else can look: the child's id is its own, or the caller's, and execve settles the program's.
func (c *Compilation) staysReadable(from plan.From) {
	if !c.Blind() && (!c.IDs.Own || c.IDs.Idmapped) {
		return
	}
	c.do(from, plan.PrctlStep(unix.PR_SET_DUMPABLE, 1))
	c.way(policy.LayerUser, "the launcher has no CAP_SYS_PTRACE, and may not read what a process of another id has entered",
		"the child stays readable (PR_SET_DUMPABLE) to the owner of its user namespace until it executes the program")
}

// Blind reports whether the launcher is root and may not look into a process of another id.
func (c *Compilation) Blind() bool {
	return c.Host.Privileged && c.Host.Permitted&(1<<unix.CAP_SYS_PTRACE) == 0
}

// hidesProcesses reports whether the launcher's /proc may hide processes from it: hidepid of proc(5). Then there is no pid 1 in
// it either, unless that is the caller's own.
func (c *Compilation) hidesProcesses() bool {
	files := c.launcherFiles()
	info, err := files.Lstat("/proc/1")
	if err != nil {
		_, self := files.Lstat("/proc/self")
		return fail.NotThere(err) && self == nil
	}
	if c.Host.UID == 0 || ownerOf(info) != c.Host.UID {
		return false
	}
	text, err := files.Read("/proc/self/mountinfo", maxMountinfo)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		if _, fs, ok := strings.Cut(line, " - proc "); ok && strings.Contains(fs, "hidepid=") {
			return true
		}
	}
	return false
}

// keepHostProc opens the host's /proc before a child enters a sandbox, if the launcher may not see there later what becomes of
// the child: the child is concealed from those inside, and hidepid then hides it from its own launcher.
func (c *Compilation) keepHostProc(from plan.From) {
	if !c.hidesProcesses() {
		return
	}
	c.handsStatus = true
	c.do(from, plan.OpenStep(plan.CWD, "/proc", walk.OpenDir, 0).Into(plan.HostProc))
	c.way(policy.LayerPID, "/proc hides other processes (hidepid), the task among them", "the task opens its own status file and hands it to its launcher")
}

// HandsStatus reports whether the launcher reads the status file that the task hands over.
func (c *Compilation) HandsStatus() bool { return c.handsStatus }

// handStatus makes the task hand over its own status file, which nobody has to look up then.
func (c *Compilation) handStatus() error {
	if !c.handsStatus {
		return nil
	}
	c.do(own("exec"),
		plan.OpenStep(plan.R(plan.HostProc), "self/status", unix.O_RDONLY|unix.O_CLOEXEC, 0).Into(plan.File),
		plan.CloseStep(plan.R(plan.HostProc)),
		plan.Dup(plan.R(plan.File), plan.F(FileBeneath), unix.O_CLOEXEC),
		plan.CloseStep(plan.R(plan.File)),
		plan.SendNamedFile(plan.F(FileSync), MsgStatus, FileBeneath))
	return nil
}
