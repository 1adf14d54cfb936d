package attacks

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// This file has a part of row 42 of the threat model: files that a task writes affect the next run.

// writers lists the profiles in which the task writes the working directory.
var writers = []string{"build", "agent"}

func trustAttacks() []attack {
	var rows []attack
	for _, v := range rewrites {
		rows = append(rows, attack{42, "a profile for the next run: " + v.name, "launcher", v.run, writers, shows(v.bare)})
	}
	for _, v := range homes {
		rows = append(rows, attack{42, "with a writable home: " + v.name, "mount", v.run, writers, shows(v.bare)})
	}
	return append(rows,
		attack{42, "this run's own profile, and the directory it is in", "mount", ownProfile, writers, noControl("the rows above show it")})
}

// ownProfile tries to change the profile file of the run itself, which is read-only and cannot be moved.
func ownProfile(b *box) outcome {
	dir := b.scratch("project")
	const text = "version: 1\nextends: [./more.yaml]\n"
	err := errors.Join(os.Mkdir(dir+"/conf", 0o755), os.WriteFile(dir+"/conf/cordon.yaml", []byte(text), 0o644),
		os.WriteFile(dir+"/conf/more.yaml", []byte("version: 1\nextends: ["+b.profile+"]\n"), 0o644), give(dir, b.who))
	if err != nil {
		b.t.Fatal(err)
	}
	box := *b
	box.dir, box.file = dir, "conf/cordon.yaml"
	const script = `touch made || exit 9
for f in cordon more; do echo >>conf/$f.yaml && exit 1; mv conf/$f.yaml x && exit 2; rm conf/$f.yaml && exit 3; ln conf/$f.yaml y && exit 4; done
mv conf old && exit 5
exit 0`
	for range 2 {
		r := box.run("sh", "-c", script)
		if now, _ := os.ReadFile(dir + "/conf/cordon.yaml"); r.code != 0 || string(now) != text {
			return escaped("exit %d, the file is %q\n%s", r.code, now, r.err)
		}
	}
	return blocked("EROFS")
}

// inHome is a way to affect later runs from a home that the task may write.
type inHome struct {
	name   string
	files  map[string]string // the files that exist before, below the home
	links  [][2]string       // the text and the name of each link
	script string            // $H stands for the home
}

const override = ".config/cordon/profiles/default.yaml"

var homes = []inHome{
	{name: "a profile where no directory is", script: "mkdir -p $H/.config/cordon/profiles; " + looser + " >$H/" + override},
	{name: "another directory in the place", files: map[string]string{override: tight},
		script: "mv $H/.config $H/x; mkdir -p $H/.config/cordon/profiles; " + looser + " >$H/" + override},
	{name: "the user's own profile removed", files: map[string]string{override: locked}, script: "rm -rf $H/" + override + "; mv $H/.config/cordon $H/x"},
	{name: "the user's own profile written", files: map[string]string{override: tight}, script: looser + " >$H/" + override},
	{name: "a directory behind a link", files: map[string]string{"dot/cordon/profiles/default.yaml": tight}, links: [][2]string{{"dot", ".config"}},
		script: "rm $H/.config; mv $H/dot $H/x; mkdir -p $H/.config/cordon/profiles; " + looser + " >$H/" + override + "; " + looser + " >$H/dot/cordon/profiles/default.yaml"},
	{name: "the records removed", files: map[string]string{override: tight},
		script: "rm -rf $H/.local; mv $H/.local $H/x; " + looser + " >$H/" + override},
}

// locked is a profile that shows less than the shipped profile.
const locked = "version: 1\nextends: [default]\nhide: [%s]\n"

func (v inHome) run(b *box) outcome  { return v.try(b, false) }
func (v inHome) bare(b *box) outcome { return v.try(b, true) }

func (v inHome) try(b *box, bare bool) outcome {
	home, work := b.scratch("home"), b.scratch("work")
	secret := work + "/file" // a file in the working directory that the profile hides
	if err := os.WriteFile(secret, []byte(b.site.mark), 0o644); err != nil {
		b.t.Fatal(err)
	}
	if !strings.Contains(v.name, "removed") || v.files[override] == tight {
		secret = b.outside().dir + "/file"
	}
	var err error
	for name, text := range v.files {
		err = errors.Join(err, os.MkdirAll(filepath.Dir(home+"/"+name), 0o755),
			os.WriteFile(home+"/"+name, []byte(strings.Replace(text, "%s", secret, 1)), 0o644))
	}
	for _, l := range v.links {
		err = errors.Join(err, os.Symlink(l[0], home+"/"+l[1]))
	}
	if err = errors.Join(err, give(home, b.who), give(work, b.who)); err != nil {
		b.t.Fatal(err)
	}
	site := *b.site
	site.home = home
	first := *b
	first.dir, first.site, first.env = work, &site, append(b.env, "H="+home)
	if !bare {
		first.flags = append(slices.Clone(b.flags), "--rw", home, "--keep-env", "H")
	}
	if r := first.run("sh", "-c", "touch $H/made || exit 9\n"+v.script+"\nexit 0"); r.code != 0 {
		return broken("the first run: exit %d %s", r.code, r.err)
	}
	next := first
	next.profile, next.flags = "default", nil
	for range 2 {
		if r := next.run("cat", secret); strings.Contains(r.out, b.site.mark) {
			return escaped("the next run read what it may not")
		} else if r.code != 1 && r.code != 125 {
			return broken("the next run: exit %d %s", r.code, r.err)
		}
	}
	return blocked("EACCES")
}

// rewrite is a way to give the next run a different profile. Both runs work in the same directory, which contains the
// files.
type rewrite struct {
	name   string
	files  map[string]string // the files that exist before
	script string            // what the task does, in sh
	after  func(dir string)  // what happens outside before the next run
	use    string            // the profile of the next run; "" is ./cordon.yaml
	in     string            // the task's working directory; "" is the directory of both runs
	kept   bool              // the task continues while the next run starts
}

const (
	loose  = "version: 1\nextends: [base]\nroot: {host: ro}\nsyscalls: {default: allow}\n"
	tight  = "version: 1\nextends: [default]\n"
	looser = `printf 'version: 1\nextends: [base]\nroot: {host: ro}\nsyscalls: {default: allow}\n'`
)

var rewrites = []rewrite{
	{name: "overwritten", files: map[string]string{"cordon.yaml": tight}, script: looser + " > cordon.yaml"},
	{name: "made", script: looser + " > cordon.yaml"},
	{name: "one that it extends", files: map[string]string{"cordon.yaml": "version: 1\nextends: [./more.yaml]\n", "more.yaml": tight},
		script: looser + " > more.yaml"},
	{name: "with the times of before", files: map[string]string{"cordon.yaml": tight},
		script: looser + " > cordon.yaml; touch -d '2001-01-01' cordon.yaml ."},
	{name: "another file moved to its place", files: map[string]string{"cordon.yaml": tight, "examples/loose.yaml": loose},
		script: "mv examples/loose.yaml cordon.yaml"},
	{name: "another directory moved to its place", files: map[string]string{"conf/cordon.yaml": tight, "examples/cordon.yaml": loose},
		script: "mv conf old; mv examples conf", use: "conf/cordon.yaml"},
	{name: "a link in its place", files: map[string]string{"cordon.yaml": tight, "examples/loose.yaml": loose},
		script: "rm cordon.yaml; ln -s examples/loose.yaml cordon.yaml"},
	{name: "a second link that is removed later", files: map[string]string{"cordon.yaml": tight},
		script: looser + " > cordon.yaml; mkdir out; ln cordon.yaml out/object",
		after:  func(dir string) { os.RemoveAll(dir + "/out") }},
	{name: "by a path through a link", files: map[string]string{"real/cordon.yaml": tight},
		script: looser + " > real/cordon.yaml",
		after:  func(dir string) { _ = os.Symlink("real", dir+"/way") }, use: "way/cordon.yaml"},
	{name: "in a directory that was moved later", files: map[string]string{"in/cordon.yaml": tight},
		script: looser + " > cordon.yaml",
		after:  func(dir string) { _ = os.Rename(dir+"/in", dir+"/moved") }, in: "in", use: "moved/cordon.yaml"},
	{name: "while the task goes on", files: map[string]string{"cordon.yaml": tight},
		script: looser + " > cordon.yaml; touch done; exec sleep 20", kept: true},
}

// run lets the task change the files, and starts the next run twice.
func (v rewrite) run(b *box) outcome {
	dir, secret := v.prepare(b)
	box := *b
	box.dir = filepath.Join(dir, v.in)
	if v.kept {
		defer startKept(&box, "sh", "-c", v.script)()
		if !appears(dir + "/done") {
			return broken("the task did nothing")
		}
	} else if r := box.run("sh", "-c", v.script); r.code != 0 {
		return broken("the first run: exit %d %s", r.code, r.err)
	}
	if v.after != nil {
		v.after(dir)
	}
	for range 2 {
		if r := v.next(b, dir, secret); strings.Contains(r.out, b.site.mark) {
			return escaped("the next run read what it may not: %s", r.out)
		} else if r.code != 125 || !strings.Contains(r.err, "cordon profile trust") {
			return broken("the next run: exit %d %s", r.code, r.err)
		}
	}
	return blocked("not used")
}

// bare does the same as run without a sandbox. Then the file belongs to the caller, and affects the next run.
func (v rewrite) bare(b *box) outcome {
	dir, secret := v.prepare(b)
	script := strings.Replace(v.script, "exec sleep 20", "true", 1)
	box := *b
	box.dir = filepath.Join(dir, v.in)
	if r := box.run("sh", "-c", script); r.code != 0 {
		return broken("exit %d %s", r.code, r.err)
	}
	if v.after != nil {
		v.after(dir)
	}
	if r := v.next(b, dir, secret); !strings.Contains(r.out, b.site.mark) {
		return broken("the next run: exit %d %s", r.code, r.err)
	}
	return escaped("the profile was used")
}

// prepare makes the directory of both runs, and a secret outside of it.
func (v rewrite) prepare(b *box) (dir, secret string) {
	b.t.Helper()
	dir = b.scratch("project")
	var err error
	for name, text := range v.files {
		err = errors.Join(err, os.MkdirAll(filepath.Dir(dir+"/"+name), 0o755), os.WriteFile(dir+"/"+name, []byte(text), 0o644))
	}
	if err = errors.Join(err, give(dir, b.who)); err != nil {
		b.t.Fatal(err)
	}
	return dir, b.outside().dir + "/file"
}

// next starts the run that the file affects.
func (v rewrite) next(b *box, dir, secret string) result {
	use := v.use
	if use == "" {
		use = "cordon.yaml"
	}
	box := *b
	box.profile, box.file, box.dir = "default", use, dir
	if !strings.Contains(use, "/") {
		box.file = "./" + use
	}
	return box.run("cat", secret)
}

// startKept starts a task that runs until the caller calls end.
func startKept(b *box, args ...string) (end func()) {
	argv := b.argv(args)
	c := exec.Command(argv[0], argv[1:]...)
	c.Dir, c.Env = b.dir, b.environ()
	c.SysProcAttr = &syscall.SysProcAttr{Credential: credential(b.who)}
	if err := c.Start(); err != nil {
		b.t.Fatal(err)
	}
	return func() {
		c.Process.Kill()
		c.Wait()
	}
}

// appears waits until a file exists.
func appears(path string) bool {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if exists(path) {
			return true
		}
	}
	return false
}
