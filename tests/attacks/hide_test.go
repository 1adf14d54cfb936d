package attacks

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"cordon/tests/scratch"
)

// This file has row 43 of the threat model: a hide rule hides the file, and not only its name. It also has a part of
// row 42: what a task does to a hidden file for the next run.

// A secret says how to hide something, and how to try to read it nevertheless.
type secret struct {
	name  string
	on    []string
	make  string   // a script that makes the tree in $D, with secrets that contain $M
	home  string   // HOME, below $D; "home" if it is ""
	flags []string // may contain $D
	first string   // the script of an earlier task
	then  string   // the script that reads the secret, in the sandbox and without one
}

var usual = []string{"default", "build", "agent"}

var secrets = []secret{
	{name: "a glob below a tmpfs", flags: []string{"--hide", "~/proj/*.pem"}, make: "echo $M >home/proj/a.pem", then: "cat a.pem"},
	{name: "a glob in an alias", flags: []string{"--ro", "$D/home:/mnt", "--hide", "~/proj/*.pem"}, make: "echo $M >home/proj/a.pem", then: "cat /mnt/proj/a.pem $D/home/proj/a.pem"},
	{name: "a rule through a link, in an alias", flags: []string{"--ro", "$D/home/proj:/mnt", "--hide", "$D/l/a.pem"}, make: "ln -s home/proj l; echo $M >home/proj/a.pem", then: "cat /mnt/a.pem a.pem"},
	{name: "a home that is a link", home: "l", make: "ln -s home l; mkdir home/.ssh; echo $M >home/.ssh/id", then: "cat $D/home/.ssh/id $D/l/.ssh/id"},
	{name: "files in a home that is a link", home: "l", make: "ln -s home l; echo $M >home/notes", then: "cat $D/home/notes $D/l/notes"},
	{name: "a secret that is a link into a visible tree", make: "mkdir keys; echo $M >keys/k; ln -s $D/keys home/.aws", then: "cat $D/keys/k"},
	{name: "the same link, removed by an earlier run", flags: []string{"--rw", "$D/home"}, make: "mkdir keys; echo $M >keys/k; ln -s $D/keys home/.aws",
		first: "rm -f ~/.aws; mv ~/.aws ~/x", then: "cat $D/keys/k"},
	{name: "a hidden file's parent, moved by an earlier run", flags: []string{"--rw", "$D/home"}, make: "mkdir -p home/.config/gh; echo $M >home/.config/gh/hosts",
		first: "mv ~/.config ~/.c2", then: "cat ~/.c*/gh/hosts"},
	{name: "a hidden file's directory, made unreadable by an earlier run", flags: []string{"--rw", ".", "--hide", "**/.env"}, make: "mkdir home/proj/s; echo $M >home/proj/s/.env",
		first: "chmod 311 s", then: "chmod 755 s; cat s/.env"},
	{name: "a hidden file's directory, moved by an earlier run", flags: []string{"--rw", ".", "--hide", "**/.env"}, make: "mkdir home/proj/s; echo $M >home/proj/s/.env",
		first: "mkdir t; mv s t/s", then: "cat s/.env t/s/.env"},
	{name: "a directory that a pattern names, moved by an earlier run", flags: []string{"--rw", ".", "--hide", "**/config/prod.key"},
		make: "mkdir -p home/proj/s/config; echo $M >home/proj/s/config/prod.key", first: "mv s/config s/c; mv s t", then: "cat s/*/prod.key t/*/prod.key"},
	{name: "a directory whose files a pattern names, moved", flags: []string{"--rw", ".", "--hide", "**/secrets/*"},
		make: "mkdir home/proj/secrets; echo $M >home/proj/secrets/k", first: "mv secrets s", then: "cat s*/k"},
	{name: "a link that a pattern names, removed by an earlier run", flags: []string{"--rw", ".", "--hide", "**/config/prod.key"},
		make: "mkdir home/proj/real; ln -s real home/proj/config; echo $M >home/proj/real/prod.key", first: "rm -f config; mv config c; mv real r", then: "cat r*/prod.key"},
	{name: "a link on the way to a glob's match, removed", flags: []string{"--rw", ".", "--hide", "~/proj/keys/*/k"},
		make: "mkdir home/proj/keys home/proj/v; ln -s ../v home/proj/keys/x; echo $M >home/proj/v/k", first: "rm -f keys/x; mv keys y; mv v w", then: "cat v/k w/k"},
	{name: "a link in a hidden directory", flags: []string{"--rw", "."}, make: "mkdir -p home/.ssh/d home/proj/ssh; ln -s ../../proj/ssh/id home/.ssh/d/id; echo $M >home/proj/ssh/id",
		first: "mv ssh s", then: "cat ssh/id s/id"},
	{name: "a rule that names one alias", flags: []string{"--ro", ".:/mnt/a", "--ro", ".:/mnt/b", "--hide", "/mnt/a/k"}, make: "echo $M >home/proj/k", then: "cat /mnt/b/k k $D/home/proj/k"},
	{name: "a glob that names one alias", flags: []string{"--ro", ".:/mnt/a", "--ro", ".:/mnt/b", "--hide", "/mnt/a/*.pem"}, make: "echo $M >home/proj/k.pem; ln home/proj/k.pem home/proj/n", then: "cat /mnt/b/k.pem /mnt/b/n k.pem n"},
	{name: "a name at any depth that is a link", flags: []string{"--rw", ".", "--hide", "**/.env"}, make: "echo $M >prod; ln -s $D/prod home/proj/.env",
		first: "rm -f .env; mv .env x", then: "cat $D/prod .env"},
	{name: "another hard link in the working directory", make: "echo $M >home/.netrc; ln home/.netrc home/proj/n", then: "cat n"},
	{name: "a directory that nobody may list", flags: []string{"--hide", "**/.env"}, make: "mkdir home/proj/s; echo $M >home/proj/s/.env; chmod 711 home/proj/s", then: "cat s/.env"},
	{name: "a pattern that begins with the working directory's name", flags: []string{"--hide", "**/proj/a.pem"}, make: "echo $M >home/proj/a.pem", then: "cat a.pem"},
	{name: "a pattern that begins with a name above the working directory", flags: []string{"--ro", ".:/mnt", "--hide", "**/home/*/k/a"},
		make: "mkdir home/proj/k; echo $M >home/proj/k/a", then: "cat k/a /mnt/k/a"},
	{name: "a pattern that is the working directory's name", flags: []string{"--hide", "**/proj"}, make: "echo $M >home/proj/a", then: "cat a $D/home/proj/a"},
	{name: "a chain of links between hidden directories", make: "mkdir home/.ssh 1 2 3 4 5; ln -s $D/1 home/.ssh/l; for i in 1 2 3 4; do ln -s ../$((i+1)) $i/l; done; ln -s ../1 5/l; echo $M >5/k",
		then: "cat $D/5/k"},
	{name: "a link of the caller's to a secret, found beside links that a task has left", flags: []string{"--rw", ".", "--hide", "**/.env"},
		make: "echo $M >prod; ln -s $D/prod home/proj/.env", first: "mkdir -p a b c; ln -sf /usr/bin a/.env; ln -sfn ../.. b/.env; ln -sf .env c/.env", then: "cat $D/prod .env"},
	{name: "names with a line break, foreign bytes and 255 bytes, by every path of /proc", flags: []string{"--rw", ".", "--hide", "**/*.pem"},
		make: `for n in "$(printf 'x\ny')" "$(printf 'b\377')" "$(printf 'a%.0s' $(seq 251))" .h; do echo $M >"home/proj/$n.pem"; done`,
		then: "cat *.pem .*.pem /proc/self/cwd/*.pem /proc/self/root$D/home/proj/*.pem /proc/1/root$D/home/proj/*.pem /proc/1/cwd$D/home/proj/*.pem"},
	{name: "a hidden file with DAC_OVERRIDE", on: []string{"default", "build"}, flags: []string{"--cap", "DAC_OVERRIDE", "--hide", "$D/home/proj/f"}, make: "echo $M >home/proj/f",
		then: "cat f && echo $M"},
}

func hideAttacks() []attack {
	var list []attack
	for _, s := range secrets {
		on := s.on
		if on == nil {
			on = usual
		}
		list = append(list, attack{43, s.name, "mount", s.attack, on, shows(s.attack)})
	}
	check := noControl("it is a check, not an attack")
	list = append(list,
		attack{43, "links that a task left for the next run hide nothing else", "launcher", leftLinks, []string{"build", "agent"}, check},
		attack{43, "another user's directory in a read-only one does not stop the start", "mount", foreignDir, []string{"default"}, check})
	for _, g := range slices.Concat(gitTricks, gitCommands) {
		list = append(list, attack{44, g.name, "mount", g.attack, orAgent(g.on), shows(g.attack)})
	}
	for _, g := range gitSecrets {
		list = append(list, attack{44, g.name, "mount", g.attack, orAgent(g.on), shows(g.attack)})
	}
	return list
}

func orAgent(on []string) []string {
	if on == nil {
		return []string{"agent"}
	}
	return on
}

func (s secret) attack(b *box) outcome {
	if os.Getuid() != 0 {
		return absent("only root can make a tree that every profile shows")
	}
	dir, err := visible(b, "mkdir -p home/proj; chmod 755 home; "+s.make)
	if err != nil {
		return broken("%v", err)
	}
	home := dir + "/home"
	if s.home != "" {
		home = dir + "/" + s.home
	}
	box := *b
	box.dir, box.env = dir+"/home/proj", append(b.env, "HOME="+home, "D="+dir, "M="+b.site.mark)
	if !b.bare() {
		box = *box.insisting()
		for _, f := range s.flags {
			box.flags = append(box.flags, strings.ReplaceAll(f, "$D", dir))
		}
	}
	for range 2 {
		if s.first != "" {
			box.run("sh", "-c", s.first)
		}
		r := box.run("sh", "-c", strings.NewReplacer("$D", dir, "$M", b.site.mark).Replace(s.then))
		switch {
		case strings.Contains(r.out, b.site.mark):
			return escaped("%s", s.then)
		case r.code == 125:
			return broken("it does not start: %s", firstLines(r.err, 2))
		}
	}
	return blocked("EACCES")
}

// leftLinks lets a task leave links that match a hide rule of the next run. The links must neither stop that run, nor
// hide from it a file that the task could not write.
func leftLinks(b *box) outcome {
	dir, err := visible(b, "mkdir -p home/proj own; echo x >own/f; chmod 755 home own")
	if err != nil {
		return absent("%v", err)
	}
	c := *b.insisting()
	c.dir, c.env = dir+"/home/proj", append(b.env, "HOME="+dir+"/home")
	task := c.with("--hide", "**/.env", "--hide", "**/keys/*")
	const plant = "mkdir -p a b c d e; ln -sf /usr/bin a/.env; ln -sfn ../.. b/.env; ln -sf .env c/.env; ln -sf /proc/self/fd d/.env; "
	for range 2 {
		if r := task.run("sh", "-c", plant+"ln -sfn "+dir+"/own e/.env; ln -sfn / a/keys; ln -sfn "+dir+" b/keys"); r.code != 0 {
			return broken("the links cannot be made: exit %d %s", r.code, r.err)
		}
		r := task.run("sh", "-c", "cat "+dir+"/own/f && ls a b")
		switch {
		case r.code != 0:
			return escaped("the next run: exit %d %s", r.code, firstLines(r.err, 2))
		case !strings.Contains(r.err, "e/.env leads to "+dir+"/own by a link that an earlier run may have left"):
			return escaped("it is not said: %s", r.err)
		}
	}
	return blocked("the next run starts, sees everything, and says so")
}

// foreignDir starts in a directory that contains a directory which the task cannot read.
func foreignDir(b *box) outcome {
	if os.Getuid() != 0 {
		return absent("only root can make a directory of somebody else's")
	}
	dir := b.scratch("cwd")
	if err := os.Mkdir(dir+"/closed", 0o700); err != nil {
		return broken("%v", err)
	}
	if err := os.Chown(dir+"/closed", 12345, 12345); err != nil {
		return broken("%v", err)
	}
	if err := os.WriteFile(dir+"/closed/.env", []byte(b.site.mark), 0o644); err != nil {
		return broken("%v", err)
	}
	return twice(func() outcome {
		r := b.in(dir).with("--hide", "**/.env").run("sh", "-c", "ls -a closed; cat closed/.env; echo started")
		switch {
		case r.code != 0 || !strings.Contains(r.out, "started"):
			return broken("exit %d %s", r.code, firstLines(r.err, 2))
		case strings.Contains(r.out, b.site.mark) || strings.Contains(r.out, ".env"):
			return escaped("%s", r.out)
		}
		return blocked("it cannot be read, and the program starts")
	})
}

// insisting returns the box with the flags that root needs for a working directory outside of homes.
func (b *box) insisting() *box {
	if b.who.uid != 0 || b.profile == "default" {
		return b
	}
	return b.with("--rw", ".")
}

// visible makes a tree of the account in a directory that no profile covers.
func visible(b *box, script string) (string, error) {
	dir, err := scratch.Dir("/var/lib", "attacks")
	if err != nil {
		return "", err
	}
	b.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	c := *b
	c.env = append(c.env, "D="+dir, "M="+b.site.mark, "GIT_CONFIG_GLOBAL=/dev/null")
	c.dir = dir
	plain := (&c).plainIn(dir, script)
	if plain.code != 0 {
		return "", fmt.Errorf("%s: %s", script, plain.err)
	}
	return dir, give(dir, b.who)
}

// plainIn runs a script in a directory as the user who runs the test, without a sandbox.
func (b *box) plainIn(dir, script string) result {
	return b.plain("sh", "-c", "set -e; cd "+dir+"; "+script)
}

// The functions below are row 44 of the threat model: what git outside the sandbox runs because of a task's files.

// A gitTrick leads git, when somebody uses it outside in the repository of the working directory, to run a program of
// the task.
type gitTrick struct {
	name string
	make string   // a script that makes the repository beforehand
	env  []string // for the caller of the sandbox, and for git outside
	task string   // the script of the task, in the repository
	use  string   // the script that uses git outside
	dir  string   // the sandbox's working directory, below $D; "outer" if it is ""
	on   []string // the profiles; "agent" if it is empty

	refused bool // the sandbox may refuse to start, because nothing can be mounted on a missing file
}

// evil makes a repository in . whose configuration runs $D/pwn.
const evil = `{ mkdir -p .git/objects .git/refs; echo ref: refs/heads/x >.git/HEAD; printf '[core]\n\trepositoryformatversion=0\n\tfsmonitor=%s/pwn\n' $D >.git/config; }`

// plantEvil makes a program that reports that it ran.
const plantEvil = `printf '#!/bin/sh\necho x >>$D/pwned\n' >evil; chmod 755 evil; `

var gitTricks = []gitTrick{
	{name: "the .git of a submodule, replaced", task: "rm -f pop/.git; mv pop pop2; mkdir -p pop; cd pop && " + evil, use: "git status; git diff"},
	{name: "a submodule that is not checked out gets a .git", task: "cd empty && " + evil, use: "git status; git add -n ."},
	{name: "a submodule that is not checked out, moved away and made again", task: "mv empty e2; mkdir empty; cd empty && " + evil, use: "git status"},
	{name: "the .git of a repository below, replaced", task: "cd nested && mv .git g2; " + evil, use: "cd nested; git status"},
	{name: "the configuration of a repository below", task: `printf '[core]\n\tfsmonitor=%s/pwn\n' $D >>nested/.git/config`, use: "cd nested; git status"},
	{name: "a repository below, replaced with its directory", task: "mkdir ev && cd ev && " + evil + " && cd .. && mv nested n2; mv ev nested", use: "cd nested; git status"},
	{name: "hooks in the tree that the configuration names", task: "mv hooks h2; mkdir hooks; cp evil hooks/pre-commit; cp evil hooks/post-index-change", use: "git -c user.name=a -c user.email=a@b.c commit --allow-empty -m x"},
	{name: "a configuration in the tree that .git/config includes", task: `printf '[core]\n\tfsmonitor=%s/pwn\n' $D >>more; mv more m; printf '[core]\n\tfsmonitor=%s/pwn\n' $D >more`, use: "git status"},
}

const gitSetup = `export HOME=$D GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a; touch pwned; chmod 666 pwned
printf '#!/bin/sh\necho x >>%s/pwned\n' $D >pwn; chmod 755 pwn
git init -q lib; cd lib; echo x >x; git add .; git commit -qm x; cd ..
git init -q outer; cd outer; echo a >a; git add .; git commit -qm a
git -c protocol.file.allow=always submodule -q add $D/lib pop; git -c protocol.file.allow=always submodule -q add $D/lib empty
git commit -qm s; git submodule -q deinit -f empty
git init -q nested; mkdir hooks; echo >more; git config core.hooksPath hooks; git config include.path ../more`

// gitTask makes a tree with gitSetup's repositories and the changes of a script. It returns the tree with a box that
// works in one of its directories, "outer" by default. If it cannot make the tree, it panics with the outcome.
func (b *box) gitTask(script, where string, env []string) (dir string, task box) {
	if os.Getuid() != 0 {
		panic(absent("only root can make a tree that every profile shows"))
	}
	dir, err := visible(b, gitSetup+"\n"+script)
	if err != nil {
		panic(broken("%v", err))
	}
	task = *b
	if !b.bare() {
		task = *b.insisting()
	}
	task.dir, task.env = dir+"/"+cmp.Or(where, "outer"), append(b.env, "HOME="+dir, "D="+dir)
	for _, v := range env {
		task.env = append(task.env, strings.ReplaceAll(v, "$D", dir))
	}
	return dir, task
}

func (g gitTrick) attack(b *box) outcome {
	dir, task := b.gitTask(g.make, g.dir, g.env)
	outside := task
	outside.profile, outside.flags = "", nil
	for range 2 {
		r := task.run("sh", "-c", strings.ReplaceAll(plantEvil+g.task, "$D", dir))
		switch {
		case r.code == 125 && g.refused && strings.Contains(r.err, "cordon: hint: make "):
			return blocked("125")
		case r.code == 125:
			return broken("it does not start: %s", firstLines(r.err, 2))
		}
		outside.run("sh", "-c", g.use)
		if text, _ := os.ReadFile(dir + "/pwned"); len(text) != 0 {
			return escaped("git ran it")
		}
	}
	return blocked("EROFS")
}
