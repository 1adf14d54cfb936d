package attacks

import (
	"errors"
	"os"
	"strings"
	"time"
)

// guardAttacks returns attacks that remove the mounts that hide or protect a file. The kernel detaches a mount if
// somebody in another mount namespace renames a file over its mount point, and moves the mount if somebody renames the
// mount point.
func guardAttacks() []attack {
	const control = "it takes a launcher that does not watch its mounts"
	mv := []string{"mv", "new", "thing"}
	return []attack{
		{42, "a hidden file replaced from another sandbox", "launcher", replaced(hidden, mv), hostRoot, noControl(control)},
		{42, "a hidden file moved away, another in its place", "launcher", replaced(hidden, []string{"sh", "-c", "mv thing away; cp new thing"}), hostRoot, noControl(control)},
		{42, "a hidden file removed, another in its place", "launcher", replaced(hidden, []string{"sh", "-c", "rm thing; cp new thing"}), hostRoot, noControl(control)},
		{42, "the directory of a hidden file moved away, another in its place", "launcher", replaced(hiddenBelow, []string{"sh", "-c", "mv s t; mkdir s; sleep 0.05; cp new s/thing"}), hostRoot, noControl(control)},
		{43, "a file that a glob hides and another sandbox makes later", "launcher", replaced(hiddenGlob, []string{"sh", "-c", "cp new a.pem; mv new b.pem"}), hostRoot, noControl(control)},
		{43, "a file that a rule hides, in a directory that is made later", "launcher", replaced(hiddenLater, []string{"sh", "-c", "mkdir a; sleep 0.05; mkdir a/b; sleep 0.05; cp new a/b/k.pem; cp new a/thing"}), hostRoot, noControl(control)},
		{42, "a protected file replaced from another sandbox", "launcher", replaced(protected, mv), hostRoot, noControl(control)},
	}
}

// A guardedThing has the flags that guard a file, and a command that prints "open" while the guard is gone.
type guardedThing struct {
	flags func(path string) []string
	look  string
}

var (
	hidden      = guardedThing{func(path string) []string { return []string{"--hide", path} }, "if cat thing >/dev/null 2>&1; then echo open; else echo closed; fi"}
	hiddenBelow = guardedThing{func(path string) []string { return []string{"--hide", strings.TrimSuffix(path, "thing") + "s/thing"} }, openIf("s/thing")}
	hiddenGlob  = guardedThing{func(path string) []string { return []string{"--hide", strings.TrimSuffix(path, "thing") + "*.pem"} }, openIf("*.pem")}
	hiddenLater = guardedThing{func(path string) []string {
		dir := strings.TrimSuffix(path, "thing")
		return []string{"--hide", dir + "a/b/k*", "--hide", dir + "a/thing"}
	}, openIf("a/thing a/b/*")}
	protected = guardedThing{func(path string) []string { return []string{"--ro", path} }, "if (: >>thing) 2>/dev/null; then echo open; else echo closed; fi"}
)

// openIf returns the command that tests whether one of several files can be read.
func openIf(names string) string {
	return "at=closed; for f in " + names + "; do if cat $f >/dev/null 2>&1; then at=open; fi; done; echo $at"
}

// replaced guards a file in a directory that the task may write, and lets a second sandbox replace the file. The guard
// must come back soon, and stay.
func replaced(g guardedThing, change []string) func(*box) outcome {
	return func(b *box) outcome {
		dir := b.scratch("guarded")
		thing := dir + "/thing"
		err := errors.Join(os.WriteFile(thing, []byte("first\n"), 0o644), os.WriteFile(dir+"/new", []byte("second\n"), 0o644),
			os.Mkdir(dir+"/s", 0o755), os.WriteFile(dir+"/s/thing", []byte("first\n"), 0o644), give(dir, b.who))
		if err != nil {
			return broken("%v", err)
		}
		first := b.with(append([]string{"--rw", dir}, g.flags(thing)...)...)
		r := first.start("sh", "-c", "cd "+dir+"; echo ready; while read line; do "+g.look+"; done")
		defer r.end()
		if at := r.askUntil("closed"); at != "closed" {
			return broken("before the change it is %q", at)
		}
		second := b.with("--rw", dir)
		second.dir = dir
		if done := second.run(change...); done.code != 0 {
			return broken("%v: exit %d %s", change, done.code, done.err)
		}
		r.askUntil("closed")
		for range 20 {
			time.Sleep(5 * time.Millisecond)
			if at := r.ask(); at != "closed" {
				return escaped("it is %s", at)
			}
		}
		return blocked("it is mounted again")
	}
}

// ask sends the program a line and returns the line that it answers.
func (r *running) ask() string {
	before := len(r.out.String())
	if _, err := r.stdin.Write([]byte("\n")); err != nil {
		panic(broken("%v", err))
	}
	for began := time.Now(); time.Since(began) < patience; time.Sleep(time.Millisecond) {
		if answer := r.out.String()[before:]; strings.HasSuffix(answer, "\n") {
			return strings.TrimSpace(answer)
		}
		select {
		case <-r.ended:
			panic(broken("the sandbox was ended"))
		default:
		}
	}
	panic(broken("no answer"))
}

// askUntil asks repeatedly until the answer is the expected one or the time is over, and returns the last answer.
func (r *running) askUntil(want string) (answer string) {
	for range 200 {
		if answer = r.ask(); answer == want {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	return answer
}
