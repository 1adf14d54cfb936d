package compile

// This file binds a program's own file if the profile does not show the directory of the file. An earlier task may have
// chosen the name of that file, by a link in the working directory or by a script's first line. Whatever such a name
// leads to would become readable inside. So the file is bound only if
//
//   - no link leads to it except links in the system's own directories;
//   - no hide rule matches it;
//   - it is a regular file and, if a script names it, an ELF executable, and not a text that somebody keeps private.

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/ledger"
	"cordon/sandbox/plan"
	"cordon/sandbox/report"
)

// namedBy says who has chosen a program's name.
type namedBy int

const (
	byCaller namedBy = iota
	byScript         // a script, in its first line
)

// bindProgram binds a file of the host that the profile's mounts do not show. If the sandbox has a root directory of
// its own, or is already running, bindProgram binds nothing and returns an error, because there the program must
// already exist. name is the program as it was typed, and path its absolute path. The error is a LookupError, with the
// exit code of env(1).
func (c *Compilation) bindProgram(name, path string, by namedBy) error {
	notFound := &fail.LookupError{Name: name, Why: "no such file", Code: 127}
	if c.Profile.Root.Kind == policy.RootDir {
		notFound.Why = "no such file in the root directory"
		return notFound
	}
	if c.Into != nil {
		notFound.Why = "no such file in the sandbox"
		return notFound
	}
	if c.hostTree().Absent(path) {
		return notFound
	}
	info, err := c.Host.Files.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return notFound
	}
	if err := c.accessible(name, path); err != nil {
		return err
	}
	real, err := c.mayShow(name, path, by)
	if err != nil {
		return err
	}
	// The file appears under the name by which it was found. So a program that looks at its own path finds the path
	// that it expects.
	from := own("command")
	target, err := c.place(from, path, false)
	if err != nil {
		return &fail.LookupError{Name: name, Why: "the profile hides it: " + err.Error(), Code: 126, Hint: "show its directory: --ro " + filepath.Dir(path)}
	}
	mnt := c.openSource(from, plan.Tree, real, picture.AttrRO|picture.AttrBase, "command")
	c.attach(from, mnt, target, false)
	c.Tree.Add(picture.Part{Target: target, Source: real, File: true, What: "the program"})
	c.Added = append(c.Added, report.Added{Path: real, Why: "the profile hides its directory"})
	return nil
}

// mayShow returns the path of a program on the host, without links, if the program may be bound. Otherwise the error
// says which of the three conditions at the top of this file is not met.
func (c *Compilation) mayShow(name, path string, by namedBy) (string, error) {
	real, err := c.withoutPlanted(name, path)
	if err != nil {
		return "", err
	}
	// The hide rules are compared with the path without links, because a rule means a file and not a name.
	if rule := c.hiding(real); rule != "" {
		return "", &fail.LookupError{Name: name, Why: "hidden by " + rule, Code: 126, Hint: "the profile hides it on purpose; use another profile to run it"}
	}
	// A task may have written the first line of a script. Such a line must not make a private text readable inside.
	if by == byScript {
		if head, err := c.Host.Files.Read(real, 4); err != nil || string(head) != "\x7fELF" {
			return "", &fail.LookupError{Name: name, Why: "the profile hides it, and it is not an ELF executable: a script could name any file", Code: 126,
				Hint: "if you want that, show its directory: --ro " + filepath.Dir(real)}
		}
	}
	return real, nil
}

// withoutPlanted resolves a path on the host as the kernel does, but follows only links of the system. Any other link
// is an error, because a task could have made it. path must be absolute. The result is a path without links.
func (c *Compilation) withoutPlanted(name, path string) (string, error) {
	done, rest := "", path[1:]
	for links := 0; rest != ""; {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		switch part {
		case "", ".":
			continue
		case "..":
			// done contains no links, so ".." just removes its last component.
			done = done[:max(0, strings.LastIndexByte(done, '/'))]
			continue
		}
		next := done + "/" + part
		info, err := c.Tree.Lstat(next)
		if err == nil && info.Mode()&fs.ModeSymlink == 0 {
			done = next
			continue
		}
		var text string
		if err == nil {
			text, err = c.Host.Files.Readlink(next)
		}
		// The kernel follows at most 40 links: path_resolution(7).
		if links++; err == nil && links > 40 {
			err = unix.ELOOP
		}
		if err != nil {
			return "", &fail.LookupError{Name: name, Why: fail.Bare(err).Error(), Code: 126}
		}
		if !c.ofSystem(paths.Clean(done + "/")) {
			return "", plantedError(name, path, next)
		}
		// An absolute link starts again at the root, and a relative one at the directory of the link.
		if strings.HasPrefix(text, "/") {
			done = ""
		}
		rest = text + "/" + rest
	}
	return done, nil
}

// plantedError returns the error for a program whose path contains a link that a task could have made.
func plantedError(name, path, link string) error {
	e := &fail.LookupError{Name: name, Why: "the profile hides what the link " + link + " leads to, and a task could have made that link", Code: 126,
		Hint: "name the file without the link, or show its directory with --ro"}
	if paths.Below(link, "/proc") {
		e.Why, e.Hint = path+" is behind a link of /proc, which can lead out of the sandbox", ""
	}
	return e
}

// systemDirs are the directories in which distributions have links. No task can write them, unless the caller makes one
// of them writable on purpose.
var systemDirs = [...]string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc/alternatives", "/nix", "/gnu", "/opt"}

// ofSystem reports whether only the system can make links in a directory. That is so if the directory is "/", /home or
// one of systemDirs, and only root may write the directory and the directories above it.
func (c *Compilation) ofSystem(dir string) bool {
	known := dir == "/" || dir == "/home"
	for _, s := range systemDirs {
		known = known || paths.Below(dir, s)
	}
	// If the task may write the directory in this sandbox, the answer is no.
	if !known || c.writable(dir) {
		return false
	}
	// A user who can write a directory above could replace this directory, so the loop checks each of them. Their modes
	// must not let the group or others write either.
	for ; ; dir, _ = paths.Split(dir) {
		info, err := c.Tree.Lstat(dir)
		if err != nil || info.Mode().Perm()&0o022 != 0 || !c.belongsToSystem(dir, info) {
			return false
		}
		if dir == "/" {
			return true
		}
	}
}

// belongsToSystem reports whether a file belongs to root. In a user namespace that does not map root, it cannot tell,
// and reports instead whether the file belongs to another user and the caller cannot write it.
func (c *Compilation) belongsToSystem(hostPath string, info fs.FileInfo) bool {
	st, ok := host.StatOf(info)
	return ok && (st.Uid == 0 || int(st.Uid) != c.Host.UID && c.Host.Files.Access(hostPath, unix.W_OK) != nil)
}

// hiding returns the hide rule that matches a path of the host or a directory above the path, or "" if no rule does.
// The sandbox need not show the path.
func (c *Compilation) hiding(real string) string {
	for _, dir := range c.Host.StateDirs() {
		if paths.Below(real, dir) {
			return "cordon: it is state of its own"
		}
	}
	for i := range c.Profile.Hide {
		if h := &c.Profile.Hide[i]; c.hides(h.Pattern, real) {
			return h.Pos.Short()
		}
	}
	return ""
}

// hides reports whether a pattern matches a path of the host or a directory above the path. A pattern without wildcards
// is resolved through links. A pattern for any depth may match beginning at every component of the path; any other
// pattern begins at the root.
func (c *Compilation) hides(pattern, real string) bool {
	rest, anywhere := strings.CutPrefix(pattern, "**/")
	if !anywhere {
		full, err := c.expandTarget(pattern)
		if err != nil {
			return false // without a home, a pattern below it matches nothing
		}
		if !strings.ContainsAny(full, "*?[") {
			return c.isOrIsBelow(real, full)
		}
		rest = full[1:]
	}
	names := strings.Split(rest, "/")
	parts := strings.Split(real[1:], "/")
	for from := range parts {
		if matches(names, parts[from:]) {
			return true
		}
		if !anywhere {
			break
		}
	}
	return false
}

// matches reports whether a pattern matches a path or a directory above it. "**" matches any number of components,
// including none.
func matches(names, parts []string) bool {
	if len(names) == 0 {
		return true
	}
	if names[0] == "**" && matches(names[1:], parts) {
		return true
	}
	if len(parts) == 0 {
		return false
	}
	if names[0] == "**" {
		return matches(names, parts[1:])
	}
	ok, err := path.Match(names[0], parts[0])
	return ok && err == nil && matches(names[1:], parts[1:])
}

// isOrIsBelow reports whether real is the target of path or lies below it. real is a path of the host without links.
func (c *Compilation) isOrIsBelow(real, path string) bool {
	if paths.Below(real, path) {
		return true
	}
	host := picture.Tree{Files: c.Host.Files}
	host.Add(picture.Part{Target: "/", Source: "/"})
	meant, err := host.Resolve(path)
	return err == nil && paths.Below(real, meant)
}

// runByShell makes the plan run the shell, with the program's path as its argument. execvp(3) does the same if execve
// fails with ENOEXEC.
func (c *Compilation) runByShell() error {
	path := c.Program.path
	c.Program.args = append([]string{shell, path}, c.Req.Args[1:]...)
	c.Program.path = shell
	if err := c.reach(shell, shell, byCaller); err != nil {
		return interpreterError(path, shell, err)
	}
	return interpreterError(path, shell, c.Interpreter(shell, 0))
}

// shell runs a script that has no "#!" line.
const shell = "/bin/sh"

// isPlainText reports whether a program is a text that the kernel cannot execute but a shell can. The first bytes of
// such a text contain no NUL, unlike binary formats that binfmt_misc may know. For a file that cannot be read the
// answer is no; then execve(2) decides.
func (c *Compilation) isPlainText(path string) bool {
	inside, err := c.Tree.Resolve(path)
	if err != nil {
		return false
	}
	host := c.Tree.HostPath(inside)
	if host == "" {
		return false
	}
	head, err := c.Host.Files.Read(host, scriptHead)
	return err == nil && !bytes.HasPrefix(head, []byte("#!")) && !bytes.HasPrefix(head, []byte("\x7fELF")) && bytes.IndexByte(head, 0) < 0
}

// The next part is about name resolution with the host's network. To look up example.org, a program reads a few files
// of /etc. These are often links to files that a service keeps in /run or at another place that a profile does not
// show. Such services are systemd-resolved, NetworkManager, resolvconf, netconfig, connman, and WSL (/mnt/wsl). So a
// sandbox with the host's network also shows the files to which the links lead.

// nameFiles lists the files that a resolver reads: resolv.conf(5), hosts(5), nsswitch.conf(5), host.conf(5),
// gai.conf(5).
var nameFiles = [...]string{resolvFile, "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf"}

// Names shows the targets of the nameFiles that are links, if the network is the host's. It shows each target as a
// single read-only file.
func (c *Compilation) Names() error {
	if c.AsItIs() {
		return nil
	}
	if c.Profile.Root.Kind == policy.RootDir {
		return c.rootNames()
	}
	if c.Profile.Network.Mode == policy.NetworkHost {
		for _, name := range nameFiles {
			info, err := c.Tree.Lstat(name)
			if err != nil || info.Mode()&fs.ModeSymlink == 0 {
				continue
			}
			if err := c.showLinked(name); err != nil {
				return &fail.Error{Op: "show what " + name + " leads to", Err: fail.Bare(err)}
			}
		}
	}
	return nil
}

// maxHosts bounds, in bytes, the size of the host's /etc/hosts that cordon copies at every launch.
const maxHosts = 64 << 10

// ownName replaces the host's /etc/hosts by a copy that also contains the sandbox's host name, because some programs
// look up the name that gethostname(2) returns (getLocalHost of Java). It replaces neither a file that the profile
// mounts at that path, nor a hidden file. If the host's file is larger than maxHosts, it depends on the network: with
// the host's network the file stays, and otherwise the replacement contains only the sandbox's name.
func (c *Compilation) ownName() error {
	const hosts = "/etc/hosts"
	if c.Profile.Root.Kind == policy.RootDir || c.AsItIs() || c.made&unix.CLONE_NEWUTS == 0 {
		return nil
	}
	inside, err := c.Tree.Resolve(hosts)
	if err != nil {
		return nil //nolint:nilerr // a circle of links on the host too
	}
	part, file := c.Tree.At(inside), c.Tree.HostPath(inside)
	mounted := part.Target == inside && inside != "/" && part.Source != hosts
	if isDir, there := c.Tree.Stat(inside); !there || isDir || file == "" || part.Write || mounted {
		return nil
	}
	text, err := c.Host.Files.Read(file, maxHosts+1)
	name := c.hostnameText()
	switch {
	case err != nil, slices.Contains(strings.Fields(string(text)), name):
		return nil
	case len(text) <= maxHosts:
		own := "127.0.0.1 " + name + "\n"
		if len(text) > 0 {
			own = strings.TrimRight(string(text), "\n") + "\n" + own
		}
		c.content(c.scalar("hostname"), inside, own, 0o644, policy.Pos{})
	case c.OwnNet:
		text, _ := c.generate(hosts) // no error is possible, because generate knows this file
		c.content(c.scalar("hostname"), inside, text, 0o644, policy.Pos{})
	}
	return nil
}

// showLinked shows the file to which a link of the system leads. On the way from the link to the file, there is a first
// path that does not exist inside; showLinked mounts the file at that path. It does nothing if a rule hides the file,
// or if a task may have made one of the links.
func (c *Compilation) showLinked(name string) error {
	inside, err := c.Tree.Resolve(name)
	if err != nil {
		return nil //nolint:nilerr // a circle of links on the host too
	}
	if _, there := c.Tree.Stat(inside); there {
		return nil
	}
	real, err := c.systemLink(name)
	if fail.NotThere(err) {
		return nil // the link leads to nothing on the host either
	}
	info, err2 := c.Tree.Lstat(real)
	switch {
	case err != nil:
		c.note("names: what " + name + " leads to is not shown: " + fail.Bare(err).Error())
		return nil
	// Only a regular file is shown. A directory or a socket would give the task more than a resolver reads.
	case err2 != nil || !info.Mode().IsRegular() || c.hiding(real) != "":
		return nil
	}
	from := own("names")
	target, err := c.place(from, inside, false)
	if err != nil {
		c.note("names: what " + name + " leads to is not shown: " + err.Error())
		return nil
	}
	mnt := c.openSource(from, plan.Tree, real, picture.AttrRO|picture.AttrBase|picture.AttrNoExec, "names")
	if c.IDs.Idmapped {
		c.Sources[len(c.Sources)-1].Plain = true
	}
	c.attach(from, mnt, target, false)
	c.Tree.Add(picture.Part{Target: target, Source: real, File: true, Noexec: true, Plain: c.IDs.Idmapped, What: "what " + name + " leads to"})
	c.Added = append(c.Added, report.Added{Path: real, Why: name + " leads to it, and the network is the host's", Usual: true})
	return nil
}

// systemLink returns the target of a path of the system. Every link on the way must belong to the system, and the
// target must not be a file that a task may have made. The target's directory may belong to a service, such as
// systemd-resolved.
func (c *Compilation) systemLink(name string) (string, error) {
	foreign := ""
	w := picture.Walker{Tree: c.hostTree(), Visit: func(p string) {
		info, err := c.Tree.Lstat(p)
		if err != nil || info.Mode()&fs.ModeSymlink == 0 || ownerOf(info) == 0 {
			return
		}
		if dir, _ := paths.Split(p); c.Host.UID == 0 || !c.belongsToSystem(dir, info) {
			foreign = p
		}
	}}
	end, err := w.Walk(name)
	switch {
	case err != nil:
		return "", err
	case foreign != "":
		return "", errors.New("the link " + foreign + " is not the system's")
	}
	if follower, ok := c.Host.Files.(follower); ok {
		return follower.Follow(name, c.Host.Records, false)
	}
	return end, nil
}

// A follower resolves the links in a path of the host. Follow fails if a task can have made one of the links.
type follower interface {
	Follow(path string, records []ledger.Place, root bool) (string, error)
}
