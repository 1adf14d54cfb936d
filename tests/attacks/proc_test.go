package attacks

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The functions below are row 7 of the threat model: root file systems whose /proc, /dev or /etc are not what they
// seem.

// fake is a way to prepare a root file system. out is the directory to which it points.
type fake struct {
	name string
	make func(root, out string) error
}

// replace puts a link in place of a directory of the root.
func replace(name string) func(root, out string) error {
	return func(root, out string) error {
		return errors.Join(os.RemoveAll(root+"/"+name), os.Symlink(out, root+"/"+name))
	}
}

// plant puts a link into a directory of the root.
func plant(names ...string) func(root, out string) error {
	return func(root, out string) error {
		var err error
		for _, name := range names {
			os.Remove(root + "/" + name)
			err = errors.Join(err, os.Symlink(out+"/"+strings.ReplaceAll(name, "/", "-"), root+"/"+name))
		}
		return err
	}
}

var fakes = []fake{
	{"proc is a link", replace("proc")},
	{"dev is a link", replace("dev")},
	{"sys is a link", replace("sys")},
	{"etc is a link", replace("etc")},
	{"tmp is a link", replace("tmp")},
	{"run is a link", replace("run")},
	{"devices are links", plant("dev/null", "dev/zero", "dev/full", "dev/random", "dev/urandom", "dev/tty", "dev/console", "dev/ptmx")},
	{"directories in dev are links", plant("dev/pts", "dev/shm", "dev/mqueue", "dev/fd")},
	{"generated files are links", plant("etc/passwd", "etc/group", "etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/nsswitch.conf")},
	{"files in proc are links", plant("proc/sys", "proc/sysrq-trigger", "proc/self", "proc/kcore", "proc/timer_list", "proc/bus", "proc/irq")},
	{"proc is a link to itself", func(root, _ string) error {
		return errors.Join(os.RemoveAll(root+"/proc"), os.Symlink("proc", root+"/proc"))
	}},
	{"proc is a link to another directory of the root", func(root, _ string) error {
		return errors.Join(os.RemoveAll(root+"/proc"), os.Symlink("etc", root+"/proc"))
	}},
	{"proc is a file", func(root, _ string) error {
		return errors.Join(os.RemoveAll(root+"/proc"), os.WriteFile(root+"/proc", nil, 0o644))
	}},
	{"proc holds a fake tree", func(root, _ string) error {
		return errors.Join(os.MkdirAll(root+"/proc/self/attr", 0o755), os.WriteFile(root+"/proc/self/attr/exec", nil, 0o666),
			os.MkdirAll(root+"/proc/sys/kernel", 0o755), os.WriteFile(root+"/proc/sys/kernel/core_pattern", nil, 0o666),
			os.WriteFile(root+"/proc/sysrq-trigger", nil, 0o666), os.MkdirAll(root+"/proc/self/fd", 0o755))
	}},
	{"proc, dev, sys, tmp are missing", func(root, _ string) error {
		return errors.Join(os.RemoveAll(root+"/proc"), os.RemoveAll(root+"/dev"), os.RemoveAll(root+"/sys"), os.RemoveAll(root+"/tmp"))
	}},
}

// fakeTrees checks that the launcher writes nothing to the targets of the links, and nothing to the root. If a task
// runs, it must have a real procfs.
func fakeTrees(b *box) outcome {
	refused := 0
	for _, f := range fakes {
		out, root := b.outside(), b.scratch("root")
		box := b.withRootfs(root)
		if err := errors.Join(f.make(root, out.dir), give(root, b.who)); err != nil {
			return broken("%s: %v", f.name, err)
		}
		before := listing(root)
		r := box.run("/probe", "procreal")
		if out.changed() {
			return escaped("%s: written outside", f.name)
		}
		if after := listing(root); after != before {
			return escaped("%s: written in the root: %s", f.name, difference(before, after))
		}
		if r.code == 125 {
			refused++
			continue
		}
		if o := outcomeOf(r); o.state != "blocked" {
			return outcome{o.state, f.name + ": " + o.detail}
		}
	}
	return blocked("%d trees, %d refused", len(fakes), refused)
}

// swapping exchanges the two paths of each pair repeatedly, until the caller calls the function that it returns.
func swapping(pairs ...[2]string) (end func()) {
	stop, done := make(chan bool), make(chan bool)
	go func() {
		defer close(done)
		for {
			for _, p := range pairs {
				unix.Renameat2(-1, p[0], -1, p[1], unix.RENAME_EXCHANGE)
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	return func() { close(stop); <-done }
}

// swappedNodes swaps /dev/null and /proc of a root file system for links and back while sandboxes start
// (CVE-2025-31133, CVE-2019-19921).
func swappedNodes(b *box) outcome {
	out, root := b.outside(), b.scratch("root")
	box := b.withRootfs(root)
	err := errors.Join(os.WriteFile(root+"/dev/null", nil, 0o666), os.Symlink(out.dir+"/file", root+"/dev/link"),
		os.Symlink(out.dir, root+"/link"), give(root, b.who))
	if err != nil {
		return broken("%v", err)
	}
	defer swapping([2]string{root + "/dev/null", root + "/dev/link"}, [2]string{root + "/proc", root + "/link"})()
	refused, deadline := 0, time.Now().Add(max(5*time.Second, time.Duration(races)*50*time.Millisecond))
	for i := range races {
		r := box.run("/probe", "procreal")
		if out.changed() {
			return escaped("launch %d wrote outside", i)
		}
		if r.code == 125 {
			refused++
		} else if o := outcomeOf(r); o.state != "blocked" {
			return outcome{o.state, fmt.Sprintf("launch %d: %s", i, o.detail)}
		}
		if time.Now().After(deadline) {
			break
		}
	}
	return blocked("%d refused", refused)
}

// The functions below are row 8 of the threat model: the launcher's own binary.

// unharmed reports whether the launcher's binary is unchanged, and whether its code ran in the sandbox.
func (b *box) unharmed(r result, before []byte) outcome {
	after, err := os.ReadFile(cordonBin)
	if err != nil || !bytes.Equal(before, after) {
		return escaped("the launcher's binary has changed")
	}
	if launcherSpoke(r) {
		return escaped("the launcher ran inside: %.80q", r.out)
	}
	if r.code == 125 || r.code == 126 || r.code == 127 {
		return blocked("exit %d", r.code)
	}
	return broken("exit %d: %s%s", r.code, r.out, r.err)
}

// launcherSpoke reports whether stdout contains the launcher's help text.
func launcherSpoke(r result) bool { return strings.Contains(r.out, "cordon run ") }

// selfAsProgram executes /proc/self/exe, which is the launcher until execve has finished.
func selfAsProgram(b *box) outcome {
	before, err := os.ReadFile(cordonBin)
	if err != nil {
		return broken("%v", err)
	}
	link := b.site.work + "/exe-link"
	os.Remove(link)
	if err := os.Symlink("/proc/self/exe", link); err != nil {
		return broken("%v", err)
	}
	for _, program := range []string{"/proc/self/exe", "/proc/1/exe", "/proc/thread-self/exe", link} {
		if o := b.unharmed(b.run(program, "--help"), before); o.state != "blocked" {
			return outcome{o.state, program + ": " + o.detail}
		}
	}
	return blocked("refused")
}

// selfAsInterpreter does the same as selfAsProgram, by the first line of a script (CVE-2019-5736).
func selfAsInterpreter(b *box) outcome {
	before, err := os.ReadFile(cordonBin)
	if err != nil {
		return broken("%v", err)
	}
	for _, interpreter := range []string{"/proc/self/exe", "/proc/1/exe", "/proc/thread-self/exe"} {
		if err := writeScript(b.site.work+"/self", "#!"+interpreter+" --help\n"); err != nil {
			return broken("%v", err)
		}
		if o := b.unharmed(b.run("./self"), before); o.state != "blocked" {
			return outcome{o.state, interpreter + ": " + o.detail}
		}
	}
	return blocked("refused")
}

// writeScript replaces the file, so that it works even if the earlier script is still running.
func writeScript(path, text string) error {
	os.Remove(path)
	return os.WriteFile(path, []byte(text), 0o755)
}

// selfBare shows that the kernel resolves such an interpreter to the program that calls execve.
func selfBare(b *box) outcome {
	if err := writeScript(b.site.work+"/self", "#!/proc/self/exe ids\n"); err != nil {
		return broken("%v", err)
	}
	r := b.run("./probe", "exec", b.site.work+"/self")
	if strings.Contains(r.out, "uid") {
		return escaped("the caller's image ran as the interpreter")
	}
	return broken("%s%s", r.out, r.err)
}

// withLoader writes a copy of the dynamically linked probe that names a different ELF interpreter.
func withLoader(path, loader string) error {
	image, err := os.ReadFile(dynamicBin)
	if err != nil {
		return err
	}
	at := bytes.Index(image, []byte("/lib64/ld-linux"))
	if at < 0 {
		at = bytes.Index(image, []byte("/lib/ld-linux"))
	}
	end := at + bytes.IndexByte(image[at:], 0)
	copy(image[at:end], loader+strings.Repeat("\x00", end-at-len(loader)))
	os.Remove(path)
	return os.WriteFile(path, image, 0o755)
}

func selfAsLoader(b *box) outcome {
	before, err := os.ReadFile(cordonBin)
	if err == nil {
		err = withLoader(b.site.work+"/loader", "/proc/self/exe")
	}
	if err != nil {
		return broken("%v", err)
	}
	r := b.run("./loader", "--help")
	if r.code > 128 && r.out == "" { // the false loader crashed: the launcher's image still ran
		return escaped("the launcher's image was mapped: exit %d %s", r.code, r.err)
	}
	return b.unharmed(r, before)
}

func loaderBare(b *box) outcome {
	if err := withLoader(b.site.work+"/loader", "/proc/self/exe"); err != nil {
		return broken("%v", err)
	}
	r := b.run("./probe", "exec", b.site.work+"/loader", "ids")
	if strings.Contains(r.out, "uid") || r.code > 128 {
		return escaped("the caller's image was mapped")
	}
	return broken("exit %d %s%s", r.code, r.out, r.err)
}

// The functions below are row 9 of the threat model: descriptors and directories outside of the root.

// secretPath is the path of a hidden file without its leading slash.
func (b *box) secretPath() string { return b.site.home[1:] + "/.ssh/id_ed25519" }

func upwards(b *box) outcome {
	box := *b
	if b.onRootfs() {
		box.dir = b.site.dir // a working directory outside of the root
	}
	return box.attack("up", b.secretPath())
}

func upwardsWithOpen(b *box) outcome {
	return b.wrapped(probeBin, "pre", "open=/", "--").attack("up", b.secretPath())
}

// workdirOutside names the working directory by a descriptor of the launcher (CVE-2024-21626).
func workdirOutside(b *box) outcome {
	for _, dir := range []string{"/proc/self/fd/3", "/proc/self/fd/7", "/proc/self/fd/8", "/proc/self/cwd", "/proc/1/cwd", "/proc/self/root", "/proc/1/root"} {
		box := b.wrapped(probeBin, "pre", "open=/", "--").with("--workdir", dir)
		program := "/probe"
		if !b.onRootfs() {
			program = b.site.work + "/probe"
		}
		r := box.run(program, "up", b.secretPath())
		if r.code == 125 {
			continue
		}
		if o := outcomeOf(r); o.state != "blocked" {
			return outcome{o.state, dir + ": " + o.detail}
		}
	}
	return blocked("refused, or inside")
}

// cwdRemoved removes the launcher's working directory. Either the launcher reports that, or the task's working
// directory is not outside of the sandbox.
func cwdRemoved(b *box) outcome {
	r := b.wrapped(probeBin, "pre", "cwd-removed", "--").run(b.expand([]string{b.program(), "up", b.secretPath()})...)
	if r.code == 125 && strings.Contains(r.err, "cordon: error: ") {
		return blocked("refused")
	}
	return outcomeOf(r)
}

// commandLineSeen reads the command line of init. init is a fork of the launcher, whose command line contains paths of
// the host.
func commandLineSeen(b *box) outcome {
	mark := b.newMark("LINE")
	return b.with("--env", "NOTE="+mark).attack("grep", kram(mark), "/proc/1/cmdline", "/proc/1/environ", "/proc/1/comm")
}

// swappedScript replaces a script's interpreter by the launcher between the launcher's check and the kernel's lookup.
// No launcher that checks first can prevent this. The launcher's image then runs confined like any program, and its
// file must not change.
func swappedScript(b *box) outcome {
	before, err := os.ReadFile(cordonBin)
	good, evil := b.site.work+"/swapped", b.site.work+"/swapped.evil"
	err = errors.Join(err, writeScript(good, "#!/bin/echo\n"), writeScript(evil, "#!/proc/self/exe --help\n"))
	if err != nil {
		return broken("%v", err)
	}
	defer swapping([2]string{good, evil})()
	refused, spoke := 0, 0
	for range races {
		r := b.run("./swapped")
		after, err := os.ReadFile(cordonBin)
		switch {
		case err != nil || !bytes.Equal(before, after):
			return escaped("the launcher's binary has changed")
		case launcherSpoke(r):
			spoke++
		case r.code == 126:
			refused++
		case r.code != 0:
			return broken("exit %d: %s%s", r.code, r.out, r.err)
		}
	}
	return blocked("refused %d, ran inside %d", refused, spoke)
}

// stdioDirectory passes a directory of the host as a standard descriptor. Through it, the task could reach files
// outside of the root. The launcher must refuse the directory, or the task must not get it.
func stdioDirectory(b *box) outcome {
	for _, mode := range []string{"stdin=/", "stderr=/", "stdin=" + b.site.home} {
		path := b.secretPath()
		if !strings.HasSuffix(mode, "=/") {
			path = ".ssh/id_ed25519"
		}
		r := b.wrapped(probeBin, "pre", mode, "--").run(b.program(), "up", path)
		if r.code == 125 && !strings.Contains(r.out, "trying") {
			continue
		}
		if o := outcomeOf(r); o.state != "blocked" {
			return outcome{o.state, mode + ": " + o.detail}
		}
	}
	return blocked("refused, or not passed on")
}

// stdinReopened tries to write, through /proc/self/fd/0, a file that the caller has opened for reading.
func stdinReopened(b *box) outcome {
	file := b.scratch("stdin") + "/file"
	if err := errors.Join(os.WriteFile(file, []byte("x"), 0o644), os.Chown(file, b.who.uid, b.who.gid)); err != nil {
		return broken("%v", err)
	}
	return b.wrapped(probeBin, "pre", "stdin="+file, "--").attack("reopen", "/proc/self/fd/0")
}
