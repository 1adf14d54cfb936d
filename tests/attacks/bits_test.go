package attacks

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// This file has rows 1, 2 and 7 of the threat model on a host that refuses openat2(2), where the launcher opens paths
// one name at a time. It also has row 41: mode bits that have an effect on the host.

// writing lists the profiles in which the task writes a tree of the host. The other profiles get such a tree by flags:
// see bits.
var writing = []string{"default", "build", "agent", "net-client", "container"}

func bitsAttacks() []attack {
	return []attack{
		{1, "a mount target through a planted link, no openat2", "openat", withoutOpenat2(plantedTarget), nil, noControl("the row with openat2 has it")},
		{1, "a bind source that became a link, no openat2", "openat", withoutOpenat2(plantedSource), hostRoot, noControl("the row with openat2 has it")},
		{1, "a link on the way to it, no openat2", "openat", withoutOpenat2(plantedParent), hostRoot, noControl("the row with openat2 has it")},
		{2, "a source swapped during the launch, no openat2", "openat", withoutOpenat2(swappedSource), hostRoot, noControl("the row with openat2 has it")},
		{7, "a root with links and fakes, no openat2", "openat", withoutOpenat2(fakeTrees), []string{"container"}, noControl("the row with openat2 has it")},
		{41, "chmod, fchmod, fchmodat, fchmodat2 with set-id bits", "seccomp", bits("modes"), writing, anyone},
		{41, "the same where denied calls are not reported", "seccomp", silently(bits("modes")), writing, noControl("the row above shows it")},
		{41, "creat, open, openat, openat2, O_TMPFILE, mknod", "seccomp", bits("new"), writing, anyone},
		{41, "the same by int 0x80 and x32", "seccomp", bits("abis"), writing, anyone},
		{41, "the same where i386 and x32 are allowed", "seccomp", foreign(bits("abis")), []string{"build"}, noControl("the row above shows it")},
		{41, "file capabilities, v1, v2 and v3", "caps", bits("caps"), writing, asRoot},
		{41, "file capabilities with SETFCAP in the sandbox", "caps", withCap("SETFCAP", bits("caps")), writing, noControl("the row above shows it")},
		{41, "all of it with FSETID in the sandbox", "caps", withCap("FSETID", bits("modes")), writing, noControl("the row above shows it")},
		{41, "a directory that becomes a file during the call", "launcher", bits("races"), writing, anyone},
		{41, "a root that is private for a start", "launcher", notPrivate, []string{"container"}, noControl("the scenario shows it")},
		{41, "a private root that another mount shows to all", "launcher", shownElsewhere, []string{"container"}, noControl("the row above shows it")},
	}
}

// withoutOpenat2 tries an attack on a launcher whose host refuses openat2(2), as a container or an outer sandbox does.
func withoutOpenat2(run func(*box) outcome) func(*box) outcome {
	return func(b *box) outcome {
		return run(b.wrapped(probeBin, "pre", "refuse="+strconv.Itoa(unix.SYS_OPENAT2), "--"))
	}
}

func silently(run func(*box) outcome) func(*box) outcome {
	return func(b *box) outcome { return run(b.with("--on-denial", "silent")) }
}

func foreign(run func(*box) outcome) func(*box) outcome {
	return func(b *box) outcome { return run(b.using("syscalls:\n  arches: [native, i386, x32]\n")) }
}

// bits runs one kind of attempts twice in a directory that the task may write, and then looks for set-id bits and
// capabilities there.
func bits(kind string) func(*box) outcome {
	return func(b *box) outcome {
		box, dir, inside := b.bitsBox(b.scratch("bits"))
		for range 2 {
			if o := box.leaveBits(kind, dir, inside); o.state != "blocked" {
				return o
			}
		}
		return blocked("no file with bits")
	}
}

// bitsBox returns a box whose writable directory other users can reach. The directory contains the program that makes
// the attempts.
func (b *box) bitsBox(dir string) (box *box, outside, inside string) {
	b.t.Helper()
	var err error
	switch {
	case b.onRootfs():
		box, outside, inside = b.withRootfs(dir).with("--root-mode", "rw"), dir+"/tmp", "/tmp"
		err = copyFile(bitsBin, dir+"/bits")
	default:
		box, outside, inside = b, dir, dir
		err = copyFile(bitsBin, dir+"/bits")
		if !b.bare() {
			box = b.with("--rw", dir)
		}
	}
	if err = errors.Join(err, give(dir, b.who)); err != nil {
		b.t.Fatal(err)
	}
	return box, outside, inside
}

func (b *box) leaveBits(kind, dir, inside string) outcome {
	program := dir + "/bits"
	if b.onRootfs() {
		program = "/bits"
	}
	r := b.run(program, kind, inside)
	if !strings.Contains(r.out, "tried") {
		return broken("exit %d: %s%s", r.code, r.out, firstLines(r.err, 3))
	}
	if found := withRights(dir); len(found) > 0 {
		return escaped("%s", strings.Join(found[:min(len(found), 5)], ", "))
	}
	return blocked("no file with bits")
}

// withRights lists the files in a tree that give rights to everybody who runs them.
func withRights(dir string) (found []string) {
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
			found = append(found, fmt.Sprint(filepath.Base(path), " ", info.Mode()))
		}
		var value [64]byte
		if n, err := unix.Lgetxattr(path, "security.capability", value[:]); err == nil && (n == 20 || slices.Equal(value[n-4:n], make([]byte, 4))) {
			found = append(found, filepath.Base(path)+" has capabilities on the host")
		}
		return nil
	})
	return found
}

// notPrivate starts a task in a root file system that nobody else can reach, where the task may set the bits. It then
// opens the directory above, by mode and by access list, and starts the task again, which must not set the bits.
func notPrivate(b *box) outcome {
	above := b.scratch("above")
	root := above + "/root"
	if err := errors.Join(os.Mkdir(root, 0o755), os.Chmod(above, 0o700)); err != nil {
		return broken("%v", err)
	}
	box, dir, inside := b.bitsBox(root)
	if err := give(above, b.who); err != nil {
		return broken("%v", err)
	}
	if o := box.leaveBits("modes", dir, inside); o.state != "escaped" {
		return broken("a private root has no set-id bits: %s", o.detail)
	}
	for _, mode := range []fs.FileMode{0o711, 0o710, 0o755, 0o701} {
		if err := errors.Join(clearDir(dir), os.Chmod(above, mode)); err != nil {
			return broken("%v", err)
		}
		if err := errors.Join(copyFile(bitsBin, root+"/bits")); err != nil {
			return broken("%v", err)
		}
		for _, kind := range []string{"modes", "new", "caps"} {
			if o := box.leaveBits(kind, dir, inside); o.state != "blocked" {
				return outcome{o.state, fmt.Sprintf("mode %o: %s", mode, o.detail)}
			}
		}
	}
	// If the task itself opens its root to everybody, the directory above stays closed.
	if err := os.Chmod(above, 0o700); err != nil {
		return broken("%v", err)
	}
	return blocked("only while it is private")
}

// shownElsewhere starts a task in a private root file system that a second mount shows at a path where everybody can
// go. The second mount shows the root itself, a directory above it, or a part of it.
func shownElsewhere(b *box) outcome {
	if b.who.uid != 0 {
		return absent("an ordinary user mounts nothing")
	}
	above := b.scratch("above")
	root := above + "/root"
	if err := errors.Join(os.Mkdir(root, 0o755), os.Chmod(above, 0o700)); err != nil {
		return broken("%v", err)
	}
	box, dir, inside := b.bitsBox(root)
	public := b.scratch("public")
	empty := b.scratch("empty")
	const bind, overlay = `mount --bind "$1" "$2" && shift 3 && exec "$@"`, `mount -t overlay -o "lowerdir=$1:$3" overlay "$2" && shift 3 && exec "$@"`
	for _, way := range [][2]string{{bind, root}, {bind, root + "/tmp"}, {overlay, root}, {overlay, root + "/tmp"}, {overlay, above}} {
		shown := way[1]
		box := box.wrapped("unshare", "-m", "sh", "-c", way[0], "sh", shown, public, empty)
		for range 2 {
			for _, kind := range []string{"modes", "new", "caps"} {
				if o := box.leaveBits(kind, dir, inside); o.state != "blocked" {
					return outcome{o.state, shown + ": " + o.detail}
				}
			}
		}
	}
	return blocked("not where another mount shows it")
}

func clearDir(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(dir+"/"+e.Name()))
	}
	return err
}
