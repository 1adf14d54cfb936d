package compile

// Places that are unfit to work in: what a program writes in a home runs outside later (shell start-up files, programs in
// PATH), and what it reads there is everybody's secrets. For root so are the directories of the system.

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
)

// elsewhere reports whether a bind needs no mount of its own here: its source is unfit and may be left out, or another bind
// of the profile shows the same. A source that is unfit and may not be left out is an error.
func (c *Compilation) elsewhere(i int, m *policy.Mount, src string) (bool, error) {
	if m.Unfit == "" {
		return slices.ContainsFunc(c.Profile.Mounts[:i], func(o policy.Mount) bool {
			return o.Unfit != "" && c.sameBind(m, &o) && o.Write == m.Write && o.NoExec == m.NoExec
		}), nil
	}
	for j := i + 1; j < len(c.Profile.Mounts); j++ {
		if o := &c.Profile.Mounts[j]; o.Unfit == "" && c.sameBind(m, o) {
			return o.Write != m.Write || o.NoExec != m.NoExec, nil // it is insisted on
		}
	}
	why, err := c.unfit(src)
	if why == "" || err != nil {
		return false, err
	}
	if m.Unfit == "refuse" {
		flag := "--ro "
		if m.Write {
			flag = "--rw "
		}
		hint := "work in another directory; " + flag + m.Source + " insists"
		if src == "/" {
			hint = "work in another directory"
		}
		return true, &fail.Error{Op: m.Source, Err: errors.New(src + " " + why), Hint: hint}
	}
	if c.Tree.HostPath(src) != src {
		c.note(src + " is not shown: it " + why + "; --ro " + m.Source + " shows it")
	}
	return true, nil
}

func (c *Compilation) sameBind(a, b *policy.Mount) bool {
	return a.Kind == policy.MountBind && b.Kind == policy.MountBind && slices.Equal(c.meanings(a.Source), c.meanings(b.Source)) && a.Target == b.Target
}

// unfit says why a directory of the host is no place to work in; "" if it is one.
func (c *Compilation) unfit(dir string) (string, error) {
	dir, err := c.hostTree().Resolve(dir)
	if err != nil {
		return "", err
	}
	if dir == "/" {
		return "is the root of the system", nil
	}
	for _, home := range c.homes() {
		if why := c.atHome(dir, home); why != "" {
			return why, nil
		}
	}
	if c.Host.UID != 0 {
		return "", nil
	}
	for _, home := range c.peoplesHomes() {
		if why := c.atHome(dir, home); why != "" {
			return why, nil
		}
	}
	if ofSystem(dir) {
		return "is a directory of the system, and the launcher is root's", nil
	}
	return "", nil
}

// atHome says that a directory is a home, or is above it, by whatever name.
func (c *Compilation) atHome(dir, home string) string {
	end, err := c.hostTree().Resolve(home)
	if err != nil {
		return "" // links without end: no home
	}
	what := "is the home directory"
	if end != home {
		what += " " + home
	}
	for at := end; at != "/"; at, _ = paths.Split(at) {
		if info, err := c.Tree.Lstat(at); err == nil && (at == dir || numbered(info) && c.sameThing(dir, at)) {
			return what
		}
		what = "is above the home directory " + home
	}
	return ""
}

// numbered reports whether an inode has a number, by which it is known under another name.
func numbered(info fs.FileInfo) bool {
	st, ok := host.StatOf(info)
	return ok && st.Ino != 0
}

// peoplesHomes are the homes of those who log in; a service's home is where it works.
func (c *Compilation) peoplesHomes() (list []string) {
	text := c.Host.Passwd
	if _, own := c.Host.Files.(host.OSFiles); text == nil || !own {
		var err error
		if text, err = c.Host.Files.Read(host.PasswdFile, host.MaxPasswd); err != nil {
			return nil
		}
	}
	const firstUser, lastUser = 1000, 60000 // login.defs(5)
	for line := range strings.Lines(string(text)) {
		a, ok := host.ParseAccount(line)
		if ok && paths.Home(a.Home) != "" && (a.UID == 0 || a.UID >= firstUser && a.UID <= lastUser) {
			list = append(list, a.Home)
		}
	}
	return list
}

// Directories of the system, and those below them where people and services work.
var (
	dirsOfSystem = []string{"/bin", "/boot", "/dev", "/efi", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run", "/sbin", "/snap", "/sys", "/usr",
		"/var/adm", "/var/backups", "/var/cache", "/var/db", "/var/lib", "/var/lock", "/var/log", "/var/mail", "/var/run", "/var/snap", "/var/spool"}
	dirsOfWork = []string{"/dev/shm", "/usr/src", "/usr/local/src", "/var/lib/buildkite-agent", "/var/lib/gitlab-runner", "/var/lib/go-agent",
		"/var/lib/jenkins", "/var/cache/jenkins"}
	dirsOfOthers = []string{"/opt", "/usr/local", "/var"} // where each directory is somebody's
)

// ofSystem reports whether a directory is one of the system's.
func ofSystem(dir string) bool {
	holds := func(list []string) bool {
		return slices.ContainsFunc(list, func(d string) bool { return paths.Below(dir, d) })
	}
	return slices.Contains(dirsOfOthers, dir) || holds(dirsOfSystem) && !holds(dirsOfWork)
}
