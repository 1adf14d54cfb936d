package attacks

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// This file has a part of row 42 of the threat model: the launcher's own output files, if an earlier task has left
// something in their place.

func outputAttacks() []attack {
	return []attack{
		{42, "what the launcher writes, through a directory that is a link", "launcher", plantedOutput("ln -s $O dir", "dir/new", "dir/file"), writers, shows(barePlanted)},
		{42, "what the launcher writes, through a link of its name", "launcher", plantedOutput("ln -s $O/file l", "l"), writers, noControl("the row above shows it")},
		{42, "what the launcher writes, by another name of a file", "launcher", plantedOutput("", "hard"), writers, noControl("the row above shows it")},
		{42, "a report that is a fifo, at which nobody reads", "launcher", plantedFifo, writers, noControl("it is a check, not an attack")},
		{42, "the report of a run before the one that fails", "launcher", staleReport, writers, noControl("it is a check, not an attack")},
		{42, "a report forged where its directory was moved away", "launcher", movedReport, writers, noControl("it is a check, not an attack")},
		{42, "what root writes, through a link of another user's", "launcher", othersLink, writers, noControl("the first row shows it")},
	}
}

// outputCommands lists the commands that write a file. FILE stands for the file's name.
var outputCommands = []string{
	"run --report FILE -- true", "run --summary-file FILE -- true", "run -t --record-tty FILE -- true", "filter dump -o FILE",
	"profile import --lossy -o FILE ../docker.json", "record -o FILE -- true", "audit -o FILE -- true",
}

// plantedOutput lets a task plant something, and then lets the launcher write a file there.
func plantedOutput(script string, names ...string) func(*box) outcome {
	return func(b *box) outcome {
		dir, out := b.scratch("project"), b.outside()
		docker := dir + "/../docker.json"
		if err := os.WriteFile(docker, []byte(`{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}`), 0o644); err != nil {
			b.t.Fatal(err)
		}
		box := *b
		box.dir = dir
		if script == "" { // a hard link needs one file system, without the sandbox's mounts
			if err := os.Link(out.dir+"/file", dir+"/hard"); err != nil {
				return absent("%v", err)
			}
		} else if r := box.run("sh", "-c", strings.ReplaceAll(script, "$O", out.dir)); r.code != 0 {
			return broken("exit %d %s", r.code, r.err)
		}
		out.before = listing(out.dir)
		for range 2 {
			for _, name := range names {
				for _, command := range outputCommands {
					text, _ := box.launcher(strings.ReplaceAll(command, "FILE", name))
					if out.changed() {
						return escaped("%s with %s\n%s", command, name, text)
					}
				}
			}
		}
		return blocked("refused, or replaced")
	}
}

// barePlanted does the same with a program that follows the path as it is.
func barePlanted(b *box) outcome {
	dir, out := b.scratch("project"), b.outside()
	if err := os.Symlink(out.dir, dir+"/dir"); err != nil {
		b.t.Fatal(err)
	}
	box := *b
	box.dir = dir
	if r := box.run("sh", "-c", "echo x > dir/new"); r.code != 0 || !out.changed() {
		return broken("exit %d %s", r.code, r.err)
	}
	return escaped("written")
}

// launcher runs a command of cordon, in the working directory of the box.
func (b *box) launcher(command string) (string, int) {
	c := exec.Command("timeout", append([]string{"10", cordonBin}, strings.Fields(command)...)...)
	c.Dir, c.Env = b.dir, b.environ()
	c.SysProcAttr = &syscall.SysProcAttr{Credential: credential(b.who)}
	text, _ := c.CombinedOutput()
	return string(text), exitCode(c)
}

func plantedFifo(b *box) outcome {
	box := *b
	box.dir = b.scratch("project")
	if r := box.run("mkfifo", "fifo"); r.code != 0 {
		return broken("exit %d %s", r.code, r.err)
	}
	for _, command := range outputCommands[:4] {
		if text, code := box.launcher(strings.ReplaceAll(command, "FILE", "fifo")); code == 124 {
			return escaped("%s waits for ever %s", command, text)
		}
	}
	return blocked("refused")
}

func staleReport(b *box) outcome {
	box := *b
	box.dir = b.scratch("project")
	if text, code := box.launcher("run --report r.json -- true"); code != 0 {
		return broken("exit %d %s", code, text)
	}
	for _, fails := range []string{"run --report r.json -- ./none", "run --report r.json -p none -- true", "run --report r.json --ro /none/x -- true",
		"run --report r.json --no-such-flag -- true", "run --report=r.json", "run --ro /usr --report r.json --rlimit x=y -- true",
		"exec --report r.json no-such-sandbox -- true"} {
		if err := os.WriteFile(box.dir+"/r.json", []byte("{}"), 0o644); err != nil {
			b.t.Fatal(err)
		}
		_, code := box.launcher(fails)
		if text, _ := os.ReadFile(box.dir + "/r.json"); code < 125 || !strings.Contains(string(text), `"error": `) {
			return escaped("after %q, exit %d: %s", fails, code, text)
		}
	}
	if err := os.WriteFile(box.dir+"/old.rec", []byte("old"), 0o644); err != nil {
		b.t.Fatal(err)
	}
	if _, code := box.launcher("record -o old.rec -- ./none"); code != 127 || exists(box.dir+"/old.rec") {
		return escaped("exit %d, and the recording of an earlier run is there", code)
	}
	return blocked("its own report")
}

// movedReport lets a task move the directory of a report away and put a forged report at its path.
func movedReport(b *box) outcome {
	box := *b
	box.dir = b.scratch("project")
	for _, command := range []string{"run --report d/f", "run --summary-file d/f", "record -o d/f"} {
		for range 2 {
			err := errors.Join(os.RemoveAll(box.dir+"/d"), os.RemoveAll(box.dir+"/away"), os.Mkdir(box.dir+"/d", 0o755), give(box.dir+"/d", b.who),
				os.WriteFile(box.dir+"/forge", []byte("mv d away; mkdir d; echo forged >d/f\n"), 0o755))
			if err != nil {
				b.t.Fatal(err)
			}
			text, code := box.launcher(command + " --rw . -- sh ./forge")
			if forged, _ := os.ReadFile(box.dir + "/d/f"); string(forged) != "forged\n" {
				return broken("%s: exit %d %s", command, code, text)
			}
			if code != 125 || !strings.Contains(text, "moved or replaced during the run") {
				return escaped("%s: exit %d %s", command, code, text)
			}
		}
	}
	return blocked("an error")
}

// othersLink lets root write a file below a link that another user has made.
func othersLink(b *box) outcome {
	if b.who.uid != 0 {
		return absent("only root is asked")
	}
	dir, out := b.scratch("project"), b.outside()
	if err := errors.Join(os.Symlink(out.dir, dir+"/dir"), give(dir, ordinary)); err != nil {
		b.t.Fatal(err)
	}
	box := *b
	box.dir = dir
	out.before = listing(out.dir)
	for range 2 {
		for _, command := range outputCommands {
			if strings.Contains(command, "import") {
				continue // its input does not exist
			}
			if text, code := box.launcher(strings.ReplaceAll(command, "FILE", "dir/file")); out.changed() || code == 0 {
				return escaped("%s: exit %d\n%s", command, code, text)
			}
		}
	}
	return blocked("refused")
}
