package attacks

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The functions below are rows 1 and 2 of the threat model: symbolic links.

// outside is a directory that no sandbox may touch. Its method unchanged reports whether a sandbox has touched it.
type outside struct {
	dir    string
	before string
}

func (b *box) outside() outside {
	b.t.Helper()
	o := outside{dir: b.scratch("outside")}
	err := errors.Join(os.Mkdir(o.dir+"/below", 0o755), os.WriteFile(o.dir+"/file", []byte(b.site.mark), 0o644), give(o.dir, b.who))
	if err != nil {
		b.t.Fatal(err)
	}
	o.before = listing(o.dir)
	return o
}

func (o outside) changed() bool { return listing(o.dir) != o.before }

// listing describes a tree as text: names, types, modes, sizes and change times.
func listing(dir string) string {
	var l strings.Builder
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			fmt.Fprintln(&l, path, err)
			return nil
		}
		if info, err := d.Info(); err == nil {
			st := info.Sys().(*syscall.Stat_t)
			fmt.Fprintln(&l, path, info.Mode(), st.Size, st.Uid, st.Mtim.Nano(), st.Rdev)
		}
		return nil
	})
	return l.String()
}

// links lists what a task may leave in a directory for the next launch: the text of a link, and where below the link's
// target the outside is.
func links(out string) [][2]string {
	return [][2]string{
		{out, "/made"},
		{out + "/none", "/made"},
		{"/", out + "/made"},
		{"../../../../../../../../../..", out + "/made"},
		{"/proc/self/root", out + "/made"},
		{"/proc/1/root", out + "/made"},
		{"/proc/self/cwd/../../../../../../..", out + "/made"},
		{"/proc/self/fd/7", out + "/made"},
		{"/oldroot", out + "/made"},
		{"../../../../../../../../../../oldroot" + out, "/made"},
	}
}

// kinds lists the mounts for which a launcher makes a target.
var kinds = []string{"tmpfs: %s", "dir: %s", "file: %s, content: x", "symlink: %s, to: /etc/passwd", "bind: %s, target: %s", "proc: %s", "dev: %s"}

func mountLine(kind, target, source string) string {
	if strings.HasPrefix(kind, "bind") {
		return fmt.Sprintf(kind, source, target)
	}
	return fmt.Sprintf(kind, target)
}

// plantedTarget mounts through links that an earlier task has left in a writable directory, or in the root file system.
func plantedTarget(b *box) outcome {
	out := b.outside()
	refused, contained := 0, 0
	for _, link := range links(out.dir) {
		for _, kind := range kinds {
			r := b.mountThrough(link, kind, out)
			if out.changed() || exists(out.dir+"/made") {
				return escaped("{%s} through l -> %s\n%s", kind, link[0], r.err)
			}
			switch {
			case r.code == 0:
				contained++
			case r.code == 125:
				refused++
			default:
				return broken("{%s} through l -> %s: exit %d %s%s", kind, link[0], r.code, r.out, r.err)
			}
		}
	}
	return blocked("contained %d, refused %d", contained, refused)
}

func (b *box) mountThrough(link [2]string, kind string, out outside) result {
	plant := b.scratch("plant")
	base, rw := plant, fmt.Sprintf("  - {bind: %s, mode: rw}\n", plant)
	box := b
	if b.onRootfs() {
		box = b.withRootfs(plant)
		base, rw = "", ""
	}
	if err := os.Symlink(link[0], plant+"/l"); err != nil {
		b.t.Fatal(err)
	}
	line := mountLine(kind, base+"/l"+link[1], b.site.work)
	box = box.using("mounts:\n" + rw + "  - {" + line + "}\n")
	return box.wrapped(probeBin, "pre", "open=/", "--").run(box.program(), "nr", "1000")
}

// withRootfs returns the box with a root file system of its own, made in dir.
func (b *box) withRootfs(dir string) *box {
	b.t.Helper()
	if err := errors.Join(makeRootfs(dir), give(dir, b.who)); err != nil {
		b.t.Fatal(err)
	}
	c := *b
	c.root = dir
	return &c
}

// followLink does what a careless launcher would do: it follows the link.
func followLink(b *box) outcome {
	out, plant := b.outside(), b.scratch("plant")
	if err := os.Symlink(out.dir, plant+"/l"); err != nil {
		return broken("%v", err)
	}
	r := b.run("mkdir", "-p", plant+"/l/made")
	if out.changed() {
		return escaped("mkdir -p went through the link")
	}
	return blocked("mkdir: %s", r.err)
}

// plantedSource lets a task replace a writable directory by a link. The next launch binds that directory by name.
func plantedSource(b *box) outcome {
	return b.plantedAt(func(plant string) string { return plant + "/sub" }, func(plant, out string) error { return os.Symlink(out, plant+"/sub") })
}

// plantedParent does the same as plantedSource, with a link in place of the parent directory.
func plantedParent(b *box) outcome {
	return b.plantedAt(func(plant string) string { return plant + "/sub/below" }, func(plant, out string) error { return os.Symlink(out, plant+"/sub") })
}

func (b *box) plantedAt(source func(string) string, swap func(plant, out string) error) outcome {
	plant, out := b.scratch("plant"), b.outside()
	first := b.with("--rw", plant).run(b.program(), "write", plant)
	if !strings.Contains(first.out, "escaped") {
		return broken("the first task could not write its directory: %s%s", first.out, first.err)
	}
	// The test does here what the first task may do in its own directory, so that the attack is the same in every
	// profile.
	if err := swap(plant, out.dir); err != nil {
		return broken("%v", err)
	}
	r := b.with("--rw", source(plant)).run(b.program(), "write", source(plant), out.dir)
	if strings.Contains(r.out, "escaped") || out.changed() {
		return escaped("%s", firstLines(r.out, 2))
	}
	if r.code == 125 {
		return blocked("refused: %s", firstLines(r.err, 1))
	}
	return outcomeOf(r)
}

func followSource(b *box) outcome {
	plant, out := b.scratch("plant"), b.outside()
	if err := os.Symlink(out.dir, plant+"/sub"); err != nil {
		return broken("%v", err)
	}
	return b.attack("write", plant+"/sub")
}

// The functions below are row 3 of the threat model: a read-only file cannot be changed.

// walk tries to create a file at every mount point, except for those that the profile lets the task write.
func walk(b *box) outcome {
	args := []string{"walk", "{devs}"}
	if b.profile == "build" {
		args = append(append(args, b.site.work), b.caches()...)
	}
	if b.onRootfs() {
		args = append(args, b.ownTrees()...)
	}
	return b.attack(args...)
}

// caches returns the directories of the sandbox's own caches, which it lets a first run make.
func (b *box) caches() []string {
	b.run("true")
	list, err := filepath.Glob(b.site.home + "/.cache/cordon/" + filepath.Base(b.site.work) + "-*")
	if err != nil || len(list) == 0 {
		b.t.Errorf("no caches of %s: %v", b.site.work, err)
	}
	return slices.DeleteFunc(list, func(path string) bool { return strings.HasSuffix(path, ".project") })
}

// ownTrees lists the mount points of a writable root file system that belongs to the task.
func (b *box) ownTrees() []string { return nil }

func remountWithCap(b *box) outcome { return b.with("--cap", "SYS_ADMIN").attack("remount") }

func withCap(name string, run func(*box) outcome) func(*box) outcome {
	return func(b *box) outcome { return run(b.with("--cap", name)) }
}

// mountTable reads the task's mount table from outside. Every mount of the host's files must be read-only and nosuid,
// except where the profile lets the task write.
func mountTable(b *box) outcome {
	run := b.start(b.program(), "wait", b.site.mark)
	defer run.end()
	_, task := initAndTask(run.cmd.Process.Pid)
	all, err := mounts(fmt.Sprint(task))
	if err != nil || len(all) == 0 {
		return broken("no mount table of %d: %v", task, err)
	}
	hosts, given := hostDevices(), []string{}
	if b.profile == "build" {
		given = append(b.caches(), b.site.work)
	}
	for _, m := range all {
		ours := slices.Contains(given, m.target)
		if strings.Contains(hosts, ","+m.dev+",") && !m.has("ro") && !ours && !deviceNode(m) {
			return escaped("%s is writable: %+v", m.target, m)
		}
		if !m.has("nosuid") {
			return escaped("%s is not nosuid: %+v", m.target, m)
		}
		if !m.has("nodev") && !strings.HasPrefix(m.target, "/dev") && m.target != "/proc" && !deviceNode(m) {
			return escaped("%s is not nodev: %+v", m.target, m)
		}
	}
	return blocked("%d mounts", len(all))
}

// deviceNode reports whether a mount shows one of the host's harmless devices.
func deviceNode(m mountinfo) bool {
	return m.fstype == "devtmpfs" && slices.Contains([]string{"/null", "/zero", "/full", "/random", "/urandom", "/tty"}, m.root)
}

// The functions below are row 4 of the threat model: setuid and file capabilities.

// setuid makes a copy of the probe in dir. Everyone who runs the copy would run it as root.
func setuid(dir string) error {
	path := dir + "/setuid"
	return errors.Join(copyFile(probeBin, path), os.Chown(path, 0, 0), os.Chmod(path, 0o755|os.ModeSetuid|os.ModeSetgid))
}

func filecaps(dir string) error {
	path := dir + "/filecaps"
	return errors.Join(copyFile(probeBin, path), build("setcap", "cap_sys_admin,cap_dac_override+ep", path))
}

// gains runs the program name in the box, and reports whether it has more rights than the probe itself.
func (b *box) gains(name string, make func(dir string) error) outcome {
	if os.Getuid() != 0 {
		return absent("only root can make one")
	}
	dir := b.site.work
	if b.onRootfs() {
		dir = b.site.rootfs
	}
	if err := make(dir); err != nil {
		return broken("%v", err)
	}
	defer os.Remove(dir + "/" + name)
	program := "./" + name
	if b.onRootfs() {
		program = "/" + name
	}
	plain, gained := b.run(b.program(), "ids"), b.run(program, "ids")
	if plain.code != 0 || gained.code != 0 {
		return broken("%s%s %s%s", plain.out, plain.err, gained.out, gained.err)
	}
	if plain.out != gained.out {
		return escaped("%q became %q", plain.out, gained.out)
	}
	return blocked("ids and capabilities are the same")
}

func setuidProgram(b *box) outcome   { return b.gains("setuid", setuid) }
func filecapsProgram(b *box) outcome { return b.gains("filecaps", filecaps) }

// For root these attacks are no gain, because root already has all rights.
func setuidBare(b *box) outcome {
	if b.who.uid == 0 {
		return escaped("root is root")
	}
	return setuidProgram(b)
}

func filecapsBare(b *box) outcome {
	if b.who.uid == 0 {
		return escaped("root has them all")
	}
	return filecapsProgram(b)
}

// The functions below are row 5 of the threat model: flags of the host's mounts.

// flagged runs the probe on a mount with every restricting flag, in a mount namespace of its own.
func (b *box) flagged(flags string, sandboxed bool) outcome {
	if os.Getuid() != 0 {
		return absent("only root can make the mount")
	}
	dir := b.scratch("flagged")
	box := b
	if sandboxed {
		box = b.with("--rw", dir)
	}
	for _, args := range [][]string{
		{"./probe", "exec", dir + "/probe", "nr", "1000"},
		{"./probe", "grep", kram(b.site.mark), dir + "/link"},
		{"./probe", "read", dir + "/zero"},
	} {
		script := `set -e; mount -t tmpfs -o ` + flags + ` none "$1"; cp probe "$1/"; printf %s "$3" >"$1/mark"; ln -s mark "$1/link"
mknod "$1/zero" c 1 5; chmod 666 "$1/zero"; chown -hR "$2:$2" "$1"; dir=$1; user=$2; shift 3; exec "` + probeBin + `" pre user="$user" -- "$@"`
		argv := append([]string{"-m", "--propagation", "private", "sh", "-c", script, "sh", dir, fmt.Sprint(b.who.uid), b.site.mark}, box.argv(args)...)
		r := b.plain("unshare", argv...)
		o := outcomeOf(r)
		if args[1] == "exec" && strings.Count(r.out, "trying") == 2 {
			o = escaped("ran a program of a noexec mount")
		}
		if o.state != "blocked" {
			return o
		}
	}
	return blocked("EACCES ELOOP EACCES")
}

// plain runs a program as the user who runs the test, without a sandbox.
func (b *box) plain(name string, args ...string) result {
	c := exec.Command(name, args...)
	c.Dir, c.Env = b.site.work, b.environ()
	var out, errs strings.Builder
	c.Stdout, c.Stderr = &out, &errs
	c.Run()
	return result{out.String(), errs.String(), exitCode(c)}
}

func keptFlags(b *box) outcome { return b.flagged("nosuid,nodev,noexec,nosymfollow", true) }

// lostFlags shows that the same program runs if the mount lacks the flags.
func lostFlags(b *box) outcome { return b.flagged("suid,dev,exec", false) }

// propagated checks that a mount that the host makes later below a bound directory does not appear in the sandbox with
// more rights.
func propagated(b *box) outcome {
	if os.Getuid() != 0 {
		return absent("only root can make the mount")
	}
	dir := b.scratch("shared")
	if err := errors.Join(os.Mkdir(dir+"/later", 0o755), unix.Mount(dir, dir, "", unix.MS_BIND, ""),
		unix.Mount("", dir, "", unix.MS_SHARED, "")); err != nil {
		return broken("%v", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	run := b.with("--ro", dir).start(b.program(), "wait", b.site.mark)
	defer run.end()
	if err := unix.Mount("none", dir+"/later", "tmpfs", 0, ""); err != nil {
		return broken("%v", err)
	}
	defer unix.Unmount(dir+"/later", unix.MNT_DETACH)
	_, task := initAndTask(run.cmd.Process.Pid)
	all, err := mounts(fmt.Sprint(task))
	if err != nil {
		return broken("%v", err)
	}
	for _, m := range all {
		if m.target == dir+"/later" && !(m.has("nosuid") && m.has("nodev") && m.has("ro")) {
			return escaped("%+v", m)
		}
	}
	return blocked("not seen, or with the flags")
}

// The functions below are row 6 of the threat model: paths in profiles.

func badPaths(b *box) outcome {
	for _, line := range []string{
		`{bind: "", target: /mnt}`,
		`{bind: /usr, target: ""}`,
		`{bind: /usr, target: usr}`,
		`{bind: /usr, target: /mnt/../etc}`,
		`{bind: /usr, target: ../etc}`,
		`{bind: "/usr\0", target: /mnt}`,
		`{bind: "/usr\nx", target: /mnt}`,
		`{bind: /usr, target: "/mnt\0x"}`,
		`{bind: /usr, target: "/mnt\nx"}`,
		`{bind: /usr, target: "/mnt\e[31m"}`,
		`{bind: "/usr/../etc", target: /mnt}`,
		`{tmpfs: tmp}`,
		`{tmpfs: ""}`,
		`{tmpfs: /}`,
		`{tmpfs: /tmp/..}`,
		`{proc: proc}`,
		`{dev: ../dev}`,
	} {
		r := b.using("mounts:\n  - "+line+"\n").run(b.program(), "nr", "1000")
		if r.code != 125 || strings.Contains(r.out, "trying") {
			return escaped("%s was taken: exit %d %s", line, r.code, r.err)
		}
		if !strings.Contains(r.err, ".yaml:5:") {
			return escaped("%s: the error does not name line 5: %s", line, r.err)
		}
	}
	return blocked("load errors")
}

func difference(before, after string) string {
	old := strings.Split(before, "\n")
	var l []string
	for _, line := range strings.Split(after, "\n") {
		if !slices.Contains(old, line) {
			l = append(l, "+"+line)
		}
	}
	return strings.Join(l, "\n")
}

// ghosts starts two sandboxes at once whose mount points do not exist on the host, and checks that no mount point
// remains on the host.
func ghosts(b *box) outcome {
	dir := b.scratch("ghosts")
	before := listing(dir)
	box := b.using(fmt.Sprintf("mounts:\n  - {bind: %s, mode: rw}\n  - {tmpfs: %[1]s/none}\n  - {bind: /etc/hostname, target: %[1]s/file}\n", dir))
	done := make(chan result, 2)
	for range 2 {
		go func() { done <- box.run(box.program(), "nr", "1000") }()
	}
	a, c := <-done, <-done
	if after := listing(dir); after != before {
		return escaped("left on the host: %s", difference(before, after))
	}
	if a.code != c.code {
		return escaped("one ended with %d, the other with %d: %s%s", a.code, c.code, a.err, c.err)
	}
	return blocked("exit %d, nothing left", a.code)
}

// generated checks that the launcher does not write its generated files into the root file system.
func generated(b *box) outcome {
	root := b.scratch("root")
	box := b.withRootfs(root)
	before := listing(root)
	var lines string
	for _, f := range []string{"passwd", "group", "hosts", "hostname", "nsswitch.conf", "resolv.conf"} {
		lines += "  - {generate: /etc/" + f + "}\n"
	}
	r := box.using("mounts:\n"+lines).run("/bin/cat", "/etc/passwd", "/etc/group", "/etc/hosts", "/etc/resolv.conf", "/etc/hostname")
	if after := listing(root); after != before {
		return escaped("the root has changed: %s", difference(before, after))
	}
	if r.code != 0 {
		return broken("exit %d: %s", r.code, r.err)
	}
	return blocked("the root is as before")
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// swappedSource swaps a bound directory for a link to another directory while sandboxes start (CVE-2024-42472,
// CVE-2026-34078).
func swappedSource(b *box) outcome {
	plant, out := b.scratch("plant"), b.outside()
	err := errors.Join(os.Mkdir(plant+"/sub", 0o755), os.Symlink(out.dir, plant+"/link"), give(plant, b.who))
	if err != nil {
		return broken("%v", err)
	}
	defer swapping([2]string{plant + "/sub", plant + "/link"})()
	refused, ran := 0, 0
	for range races {
		r := b.with("--rw", plant+"/sub").run(b.program(), "write", out.dir, plant+"/sub")
		if out.changed() {
			return escaped("written outside: %s", r.out)
		}
		switch {
		case r.code == 125:
			refused++
		case strings.Contains(r.out, "trying"):
			ran++
		default:
			return broken("exit %d: %s%s", r.code, r.out, r.err)
		}
	}
	return blocked("refused %d, ran %d", refused, ran)
}
