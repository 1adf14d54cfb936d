package attacks

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// Row 42: files of the launcher's own, where an earlier task has left something in their place.

func outputAttacks() []attack {
	return []attack{
		{42, "what the launcher writes, through a directory that is a link", "launcher", plantedOutput("ln -s $O dir", "dir/new", "dir/file"), writers, shows(barePlanted)},
		{42, "what the launcher writes, through a link of its name", "launcher", plantedOutput("ln -s $O/file l", "l"), writers, noControl("the row above shows it")},
		{42, "what the launcher writes, by another name of a file", "launcher", plantedOutput("", "hard"), writers, noControl("the row above shows it")},
		{42, "a report that is a fifo, at which nobody reads", "launcher", plantedFifo, writers, noControl("it is a check, not an attack")},
		{42, "the report of a run before the one that fails", "launcher", staleReport, writers, noControl("it is a check, not an attack")},
	}
}

// outputCommands are the commands that write a file, with FILE for its name.
var outputCommands = []string{
	"run --report FILE -- true", "run --summary-file FILE -- true", "run -t --record-tty FILE -- true", "filter dump -o FILE",
	"profile import --lossy -o FILE ../docker.json", "record -o FILE -- true", "audit -o FILE -- true",
}

// plantedOutput lets a task plant something and has the launcher write there.
func plantedOutput(script string, names ...string) func(*box) outcome {
	return func(b *box) outcome {
		dir, out := b.scratch("project"), b.outside()
		docker := dir + "/../docker.json"
		if err := os.WriteFile(docker, []byte(`{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}`), 0o644); err != nil {
			b.t.Fatal(err)
		}
		box := *b
		box.dir = dir
		if script == "" { // another name of a file takes one file system without the sandbox's mounts
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

// barePlanted is the same with a program that writes where the path leads.
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

// launcher runs a command of the launcher's, in the working directory of the box.
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
	for _, fails := range []string{"run --report r.json -- ./none", "run --report r.json -p none -- true", "run --report r.json --ro /none/x -- true"} {
		_, code := box.launcher(fails)
		if text, _ := os.ReadFile(box.dir + "/r.json"); code < 125 || !strings.Contains(string(text), `"error": `) {
			return escaped("after %q, exit %d: %s", fails, code, text)
		}
	}
	return blocked("its own report")
}
