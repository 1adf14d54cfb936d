package compile

// This file gives advice after a run that has failed. It uses only evidence: what the kernel has counted, and the paths
// in the command.

import (
	"cmp"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strconv"
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

// ExecHint returns a hint if the profile's filter denies the execve call that starts the program. The hint names the
// rule. ExecHint returns "" if the filter allows the call. cordon's own code makes this call in the task, after the
// filter has been installed. So a profile whose filter denies the call can start no program.
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

// foreignArch returns the architecture of a machine's 32-bit programs. The hint names x32 in words.
func foreignArch(native filter.Arch) string {
	switch native {
	case filter.AMD64:
		return "i386"
	case filter.ARM64:
		return "arm"
	}
	return "NAME"
}

// HintFor returns a hint about an argument that is a path. There are two cases: the path exists on the host but not in
// the sandbox, or the path is a new file in a directory that is read-only inside. args[i] is the argument; the path may
// also be the value in --flag=PATH. The second result is false if there is nothing to say.
func (c *Compilation) HintFor(args []string, i int) (report.Hint, bool) {
	arg := args[i]
	if _, value, ok := strings.Cut(arg, "="); ok && strings.HasPrefix(arg, "-") {
		arg = value
	}
	if arg == "" || strings.HasPrefix(arg, "-") || c.Profile.Root.Kind == policy.RootDir || strings.ContainsAny(arg, "\x00\n\t ;|&$<>()") {
		return report.Hint{}, false
	}
	return c.HintPath(arg, writes(args, i), makes(args))
}

// HintPath does what HintFor does, for a path that the program may have used. write says that the program would have
// created a file there. maker says that the program creates every path in its arguments, as mkdir does.
func (c *Compilation) HintPath(name string, write, maker bool) (report.Hint, bool) {
	if name == "" || c.Profile.Root.Kind == policy.RootDir {
		return report.Hint{}, false
	}
	if name[0] != '/' {
		name = paths.Join(c.Workdir, name)
	}
	// The path is followed in the model of the sandbox's tree, because the sandbox itself is gone.
	path, err := c.Tree.Resolve(paths.Clean(name))
	if err != nil {
		return report.Hint{}, false
	}
	part := c.Tree.At(path)
	if part == nil || path == "/" {
		return report.Hint{}, false
	}
	if _, err := c.Host.Files.Lstat(path); err == nil {
		if rule := c.HiddenBy(path); rule != nil {
			return report.Hint{Text: path + " is hidden; " + c.LiftHint(rule, path, part.Opaque), Rule: rule.Pos}, true
		}
	}
	if part.Opaque {
		return report.Hint{}, false
	}
	// What remains is to compare the answers to two questions: does the path exist inside, and does it exist on the
	// host?
	_, inside := c.Tree.Stat(path)
	_, err = c.Host.Files.Lstat(path)
	dir, _ := paths.Split(path)
	switch {
	case !inside && err == nil && maker:
		return report.Hint{}, false // the program wanted to create the path, not to see the host's
	case !inside && err == nil:
		return report.Hint{Text: path + " is not visible in the sandbox", Rule: part.Rule, Flag: "--ro " + path}, true
	case inside || err == nil || part.Write || !write:
		return report.Hint{}, false
	}
	if isDir, ok := c.Tree.Stat(dir); ok && isDir && dir != "/" && c.Host.Files.Access(dir, unix.W_OK) == nil {
		return report.Hint{Text: dir + " is read-only in the sandbox", Rule: part.Rule, Flag: "--rw " + dir}, true
	}
	return report.Hint{}, false
}

// makes reports whether a program creates every path in its arguments, as mkdir does. args[0] is the program.
func makes(args []string) bool {
	switch _, name := paths.Split("/" + args[0]); name {
	case "mkdir", "mkfifo", "mknod", "mktemp":
		return true
	}
	return false
}

// writes reports whether a program is likely to write to the file that an argument names: the argument follows -o, or
// the program writes to the files in its arguments.
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

// tops lists files such as .git and go.mod that tools search for in the directories above, with the names of these
// tools.
var tops = [...]struct {
	what  string
	names []string
	tools []string
}{
	{"repository", []string{".git"}, []string{"git"}},
	{"Go module", []string{"go.mod", "go.work"}, []string{"go", "gopls", "golangci-lint", "staticcheck"}},
}

// HintAbove returns a hint if the command names a tool that needs a repository or module that the sandbox does not
// show: either the top of the repository or module lies above the working directory, or the working tree's .git names a
// repository in another place. Such a tool fails with a message that does not mention the sandbox, such as "not a git
// repository".
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
			h := report.Hint{Text: "the working directory is in the " + t.what + " " + dir + ", whose top directory the sandbox does not show; start cordon there", Rule: p.Rule}
			// For a home or a directory of the system the hint has no flag, because a hint must not advise what the
			// profile refuses.
			if why, err := c.unfit(dir); err == nil && why == "" {
				h.Flag = bindFlag(p) + dir
			}
			return h, true
		}
	}
	return report.Hint{}, false
}

// hintGitFile returns the hint for a working tree whose .git names a directory that is not shown.
func (c *Compilation) hintGitFile(top string, info fs.FileInfo, p *picture.Part) (report.Hint, bool) {
	g := &gitGuard{c: c}
	if info.Name() != ".git" || !info.Mode().IsRegular() {
		return report.Hint{}, false
	}
	dir := g.gitDir(top)
	if dir == "" || c.Tree.HostPath(dir) == dir || !g.isGitDir(dir) {
		return report.Hint{}, false
	}
	// A linked worktree needs the directory that it shares with the main tree, in addition to the part that is its own.
	if common := g.follow(dir, g.line(paths.Join(dir, "commondir"))); common != "" {
		dir = common
	}
	flag := bindFlag(p) + dir
	// If the profile says git: protect, the task may read the repository, but may not write it.
	if c.Profile.Git == policy.GitProtect {
		flag = "--ro " + dir
	}
	return report.Hint{Text: "the repository of " + top + " is " + dir + ", which does not name this working tree; if you know it, show it",
		Rule: p.Rule, Flag: flag}, true
}

// bindFlag returns the flag that would bind a path with the same access as p.
func bindFlag(p *picture.Part) string {
	if p.Write {
		return "--rw "
	}
	return "--ro "
}

// firstOf returns the first of the given names that exists in a directory of the host.
func (c *Compilation) firstOf(dir string, names []string) (fs.FileInfo, bool) {
	for _, name := range names {
		if info, err := c.Host.Files.Lstat(paths.Join(dir, name)); err == nil {
			return info, true
		}
	}
	return nil, false
}

// namesTool reports whether an argument is the name of a tool, or contains it as a word: "/usr/bin/git", "git status;
// x".
func namesTool(arg string, tools []string) bool {
	return slices.ContainsFunc(strings.FieldsFunc(arg, func(r rune) bool { return strings.ContainsRune(" \t\n;&|()/\"'`", r) }),
		func(word string) bool { return slices.Contains(tools, word) })
}

// HiddenBy returns the hide rule that matches a path of the host or a directory above it, or nil if no rule does. The
// sandbox need not show the path: if the path were bound, the rule would hide it at once.
func (c *Compilation) HiddenBy(host string) *policy.Hide {
	w := picture.Walker{Tree: c.hostTree()}
	// A rule can match the path as it is written, or the file to which its links lead.
	names := []string{host}
	if end, err := w.Walk(host); err == nil && end != host {
		names = append(names, end)
	}
	for _, name := range names {
		if c.shownAgain(name) {
			continue
		}
		for i := range c.Profile.Hide {
			if rule := &c.Profile.Hide[i]; c.means(rule.Pattern, name) {
				return rule
			}
		}
	}
	return nil
}

// shownAgain reports whether a profile shows a path although a rule hides a directory above it.
func (c *Compilation) shownAgain(host string) bool {
	for i := range c.Profile.Lifted {
		if l := &c.Profile.Lifted[i]; !isGlob(l.Pattern) && c.means(l.Pattern, host) {
			return true
		}
	}
	return false
}

// means reports whether a pattern matches a path, or a directory above it. host is an absolute path without dots.
func (c *Compilation) means(pattern, host string) bool {
	names := strings.Split(host[1:], "/")
	if rest, ok := strings.CutPrefix(pattern, "**/"); ok {
		patterns := namesOfRule(rest)
		for from := 0; from+len(patterns) <= len(names); from++ {
			if eachMatches(patterns, names[from:]) {
				return true
			}
		}
		return false
	}
	for _, meaning := range c.meanings(pattern) {
		if !isGlob(meaning) {
			w := picture.Walker{Tree: c.hostTree()}
			if end, err := w.Walk(meaning); err == nil && paths.Below(host, end) {
				return true
			}
			if paths.Below(host, meaning) {
				return true
			}
			continue
		}
		patterns := strings.Split(meaning[1:], "/")
		if ok, err := path.Match(patterns[0], names[0]); err == nil && ok && len(patterns) <= len(names) && eachMatches(patterns, names) {
			return true
		}
	}
	return false
}

// LiftHint returns advice on how to except a path from a hide rule. There is no flag for that, so that nobody does it
// by accident. shown says that the sandbox would show the path if the rule did not exist.
func (c *Compilation) LiftHint(rule *policy.Hide, path string, shown bool) string {
	what := rule.Pattern
	for _, meaning := range c.meanings(rule.Pattern) {
		if !strings.HasPrefix(what, "**/") && !isGlob(meaning) && paths.Below(path, meaning) {
			what = strings.TrimSuffix(rule.Pattern, "/") + path[len(meaning):]
			break
		}
	}
	s := "no flag lifts the rule; a profile of your own can, with hide: [{remove: " + yamlWord(what) + "}]"
	if shown {
		return s
	}
	if what == rule.Pattern {
		what = path
	}
	return s + " and mounts: [{bind: " + yamlWord(what) + "}]"
}

// yamlWord quotes a text that YAML would not read as a string. s must not be empty.
func yamlWord(s string) string {
	if strings.ContainsAny(s[:1], "*&~") && s != "~" && s[0] != '~' || strings.ContainsAny(s, ",{}[]#:") {
		return `"` + s + `"`
	}
	return s
}

// granted refuses a bind of the command line that a hide rule hides as a whole, because such a bind would show nothing,
// and nobody would be told. If a hide rule of the command line hides a bind of the profile, that is on purpose, and
// granted allows it. granted runs after all hide rules, when the model of the tree shows what is left of each bind.
func (c *Compilation) granted() error {
	for i := range c.Profile.Mounts {
		m := &c.Profile.Mounts[i]
		if m.Kind != policy.MountBind && m.Kind != policy.MountOverlay || !meant(m) {
			continue
		}
		target, err := c.bindTarget(m)
		if err != nil {
			continue // another phase reports the error
		}
		inside, err := c.Tree.Resolve(target)
		if err != nil {
			continue
		}
		p := c.Tree.At(inside)
		if p != nil && len(c.liftedBelow(p)) > 0 {
			continue // the path that the profile shows stays reachable
		}
		if p == nil || !p.Opaque || p.Guard != picture.GuardHide || m.Pos.Flag == "" && p.Rule.Flag != "" {
			continue
		}
		hint := "a hide rule beats every mount; leave one of the two out"
		if rule := c.HiddenBy(cmp.Or(p.Behind, inside)); rule != nil {
			hint = c.LiftHint(rule, cmp.Or(p.Behind, inside), true)
		}
		return &fail.Error{Op: "mounts[" + strconv.Itoa(i) + "]: " + string(m.Kind), Err: errors.New(inside + " is hidden (" + p.Rule.Short() + ")"),
			From: m.Pos.Short(), Hint: hint}
	}
	return nil
}

// meant reports whether a mount shows a path that the caller has named on purpose. The working directory does not
// count, because the caller is always in some directory.
func meant(m *policy.Mount) bool {
	return !m.Optional && m.Unfit == "" && m.Source != "." && m.Pos != (policy.Pos{}) && !strings.HasPrefix(m.Pos.File, "embedded:")
}

// way records for the report that, on this host, the sandbox uses another method than usual, which is no weaker.
func (c *Compilation) way(layer policy.Layer, why, how string) {
	c.Ways = append(c.Ways, report.Way{Layer: layer, Why: why, How: how})
}

// staysReadable lets a launcher without CAP_SYS_PTRACE read the child's files in /proc. Without it, such a launcher
// could read nothing back, because the change of ids has made the child undumpable. Nobody else gains access, because
// the id of the child is its own or the caller's, and execve decides anew whether the process is readable.
func (c *Compilation) staysReadable(from plan.From) {
	if !c.Blind() && (!c.IDs.Own || c.IDs.Idmapped) {
		return
	}
	c.do(from, plan.PrctlStep(unix.PR_SET_DUMPABLE, 1))
	c.way(policy.LayerUser, "the launcher has no CAP_SYS_PTRACE, and may not read what a process of another id has entered",
		"the child stays readable (PR_SET_DUMPABLE) to the owner of its user namespace until it executes the program")
}

// Blind reports whether the launcher is root but may not read another user's process in /proc.
func (c *Compilation) Blind() bool {
	return c.Host.Privileged && c.Host.Permitted&(1<<unix.CAP_SYS_PTRACE) == 0
}

// hidesProcesses reports whether the launcher's /proc may hide other users' processes from the launcher: hidepid of
// proc(5). If pid 1 is visible, /proc hides no process, because hidepid also hides pid 1. That does not hold if pid 1
// belongs to the caller.
func (c *Compilation) hidesProcesses() bool {
	files := c.launcherFiles()
	if info, err := files.Lstat("/proc/1"); err == nil && (c.Host.UID == 0 || ownerOf(info) != c.Host.UID) {
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

// keepHostProc opens the host's /proc before a child enters a sandbox, if the launcher may not be able to see the child
// afterwards: in a /proc with hidepid, a child that is not dumpable is invisible to its own launcher.
func (c *Compilation) keepHostProc(from plan.From) {
	if !c.hidesProcesses() {
		return
	}
	c.handsStatus = true
	c.do(from, plan.OpenStep(plan.CWD, "/proc", walk.OpenDir, 0).Into(plan.HostProc))
	c.way(policy.LayerPID, "/proc hides other processes (hidepid), the task among them", "the task opens its own status file and hands it to its launcher")
}

// HandsStatus reports whether the task passes the launcher a descriptor of the task's own /proc/PID/status.
func (c *Compilation) HandsStatus() bool { return c.handsStatus }

// handStatus makes the task pass the launcher a descriptor of the task's own /proc/PID/status, so that the launcher
// need not find that file in /proc.
func (c *Compilation) handStatus() error {
	if !c.handsStatus {
		return nil
	}
	c.do(own("exec"),
		plan.OpenStep(plan.R(plan.HostProc), "self/status", unix.O_RDONLY|unix.O_CLOEXEC, 0).Into(plan.File),
		plan.CloseStep(plan.R(plan.HostProc)),
		plan.SendKept(plan.F(FileSync), MsgStatus, plan.File),
		plan.CloseStep(plan.R(plan.File)))
	return nil
}

// executeHint returns the advice for a file of the host that the caller may not execute. If the mode of the file lets
// everybody execute it, the mount forbids that: mount(8), noexec.
func (c *Compilation) executeHint(path string) string {
	const everybody = 0o111
	if info, err := c.Host.Files.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&everybody == everybody {
		return "it is on a noexec mount: copy it to another file system, or let root run mount -o remount,exec there"
	}
	return "use chmod +x, or name its interpreter"
}
