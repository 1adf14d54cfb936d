package attacks

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// The functions below are row 28 of the threat model: deny and hide rules override all others, in any order.

// tracing is a call by which a process asks its parent to trace it. It does no harm, and the tests deny it by its name.
var tracing = []string{"call", "ptrace", "101", "0", "0", "0", "0"}

func denyWins(b *box) outcome {
	allowing := b.using("syscalls: {allow: [ptrace]}\n")
	if o := b.using("syscalls: {remove: {deny: [ptrace, \"@debug\"]}, allow: [ptrace]}\n").attack(tracing...); o.state == "broken" && !strings.Contains(o.detail, "remove") {
		return o
	}
	for _, deny := range []string{"[ptrace]", "[\"@debug\"]"} {
		denying := b.using("syscalls: {deny: " + deny + "}\n")
		for _, flags := range [][]string{
			{"-p", denying.file, "-p", allowing.file},
			{"-p", allowing.file, "-p", denying.file},
			{"-p", denying.file, "--allow-syscall", "ptrace"},
			{"-p", denying.file, "--rule", "ptrace: op == 0"},
			{"--allow-syscall", "ptrace", "-p", denying.file},
		} {
			if o := b.with(flags...).attack(tracing...); o.state != "blocked" {
				return outcome{o.state, fmt.Sprintf("deny %s, %q: %s", deny, flags, o.detail)}
			}
		}
		child := childOf(b, denying.file, "syscalls: {allow: [ptrace, \"@debug\"], rules: [{ptrace: \"op == 0\"}]}\n")
		if o := child.attack(tracing...); o.state != "blocked" {
			return outcome{o.state, "inherited deny " + deny + ": " + o.detail}
		}
	}
	return blocked("in every order")
}

// childOf returns a profile that extends the profile in a file.
func childOf(b *box, parent, yaml string) *box {
	c := *b
	c.profile = parent
	return c.using(yaml)
}

// hideWins checks that a hidden file stays hidden, whichever profile or flag binds it, and under each of its names.
func hideWins(b *box) outcome {
	secret := b.site.home + "/.ssh"
	alias := b.scratch("alias")
	target := b.scratch("target")
	if err := os.Symlink(secret, alias+"/link"); err != nil {
		return broken("%v", err)
	}
	hide := fmt.Sprintf("hide: [%s]\n", secret)
	for _, mounts := range []string{
		fmt.Sprintf("mounts: [{bind: %s}]\n", secret),
		fmt.Sprintf("mounts: [{bind: %s}]\n", b.site.home),
		fmt.Sprintf("mounts: [{bind: %s, target: %s}]\n", secret, target),
		fmt.Sprintf("mounts: [{bind: %s, target: %s}]\n", b.site.home, target),
		fmt.Sprintf("mounts: [{bind: %s/link, target: %s}]\n", alias, target),
	} {
		for _, yaml := range []string{hide + mounts, mounts + hide} {
			r := b.using(yaml).run(b.program(), "grep", kram(b.site.mark), secret+"/id_ed25519", secret+"//id_ed25519", secret+"/./id_ed25519",
				target+"/id_ed25519", target+"/.ssh/id_ed25519", alias+"/link/id_ed25519", "/proc/self/root"+secret+"/id_ed25519")
			if r.code == 125 {
				continue
			}
			if o := outcomeOf(r); o.state != "blocked" {
				return outcome{o.state, strings.TrimSpace(yaml) + ": " + o.detail}
			}
		}
	}
	return blocked("hidden")
}

func readSecret(b *box) outcome { return b.attack("grep", "{kram}", "{home}/.ssh/id_ed25519") }

// The functions below are row 29 of the threat model: static programs, and a launcher in a sandbox.

// staticAsDynamic checks that a statically linked program gets the same answers to its calls as a dynamically linked
// program.
func staticAsDynamic(b *box) outcome {
	for _, c := range append(append(append([]call(nil), privileged...), newMounts...), sockets...) {
		args := append([]string{"call", c.name, fmt.Sprint(c.nr)}, c.args...)
		static, dynamic := b.run(append([]string{"./probe"}, args...)...), b.run(append([]string{"./probe-dynamic"}, args...)...)
		open := b.nests() && slices.Contains(nestCalls, c.name)
		if static.out != dynamic.out || static.code != dynamic.code || !open && !strings.Contains(static.out, "blocked") {
			return escaped("%s: %q, %q", c.name, static.out, dynamic.out)
		}
	}
	return blocked("the same")
}

// nested starts a launcher inside a sandbox. The launch must be refused, or its sandbox must be no weaker. The inner
// launcher must never run the program without a sandbox.
func nested(b *box) outcome {
	if err := copyFile(cordonBin, b.site.work+"/cordon"); err != nil {
		return broken("%v", err)
	}
	if err := os.Chown(b.site.work+"/cordon", b.who.uid, b.who.gid); err != nil {
		return broken("%v", err)
	}
	home, err := os.ReadDir(b.site.home)
	if err != nil {
		return broken("%v", err)
	}
	for _, inner := range [][]string{
		{"./cordon", "run", "--", "./probe", "walk", "{devs}", "{work}"},
		{"./cordon", "run", "-p", "build", "--", "./probe", "walk", "{devs}", "{work}"},
		{"./cordon", "run", "--rw", "/", "--", "./probe", "walk", "{devs}", "{work}"},
		{"./cordon", "run", "--rw", b.site.home, "--", "./probe", "write", b.site.home},
		{"./cordon", "run", "--cap", "SYS_ADMIN", "--", "./probe", "remount"},
		{"unshare", "-Ur", "--", "./probe", "remount"},
		{"bwrap", "--bind", "/", "/", "--", "./probe", "remount"},
	} {
		r := b.run(b.expand(inner)...)
		if !strings.Contains(r.out, "trying") {
			if r.code == 0 || strings.Contains(r.err, "panic") {
				return escaped("%q: exit %d %s", inner, r.code, r.err)
			}
			if inner[0] == "./cordon" && (r.code != 125 || !strings.Contains(r.err, "cordon: error:")) {
				return escaped("%q: an unclear end: exit %d %s", inner, r.code, r.err)
			}
			continue
		}
		// The outer sandbox shows an empty home. What the inner one writes there must not reach the host's home.
		kept, err := os.ReadDir(b.site.home)
		if err != nil || !slices.EqualFunc(home, kept, func(x, y os.DirEntry) bool { return x.Name() == y.Name() }) {
			return escaped("%q: the home has %v, %v", inner, kept, err)
		}
		if o := outcomeOf(r); o.state != "blocked" && !(b.nests() && slices.Contains(inner, b.site.home)) {
			return outcome{o.state, fmt.Sprintf("%q: %s", inner, o.detail)}
		}
	}
	return blocked("refused, or no weaker")
}

// The functions below are row 38 of the threat model: words that a launcher or a terminal could obey.

// optionsAsCommand checks that every word after --, and after the first word of the command, belongs to the command.
func optionsAsCommand(b *box) outcome {
	bin := b.scratch("bin")
	names := []string{"--net", "--rw=x", "-p", "--", "--help", "--version", "-", "--cap=SYS_ADMIN"}
	for _, name := range names {
		if err := writeScript(bin+"/"+name, "#!/bin/sh\necho ran; exec "+b.site.work+"/probe grep \"$@\"\n"); err != nil {
			return broken("%v", err)
		}
	}
	box := *b
	box.env = []string{"PATH=" + bin + ":/usr/bin:/bin"}
	for _, name := range names {
		r := box.run(name, kram(b.site.mark), b.site.home+"/.ssh/id_ed25519")
		if !strings.HasPrefix(r.out, "ran\n") || outcomeOf(r).state != "blocked" {
			return escaped("-- %s: exit %d %s%s", name, r.code, r.out, r.err)
		}
	}
	argv := []string{cordonBin, "run", "/bin/echo", "--net", "host", "-p", "none", "--", "--help"}
	c := *b
	c.profile = ""
	if r := c.run(argv...); r.out != "--net host -p none -- --help\n" {
		return escaped("words after the command: exit %d %s%s", r.code, r.out, r.err)
	}
	return blocked("they are the command")
}

// hostile lists texts that a shell, a terminal or a log might obey. They are valid names of files.
var hostile = []string{"$(touch hit)", "`touch hit`", ";touch hit", "a\nb", "a\rb", "\x1b[31mred", "\x1b]0;title\a", "a\x7fb", "\u202etxt.exe", "\u0085", "\x9b31m",
	"\xff\xfe", "%s%n", "'", "\"", "\\x41", " ", "-n", "*", "~", "{a,b}", "a b"}

// hostileNames uses these texts as programs, arguments and paths. The launcher must treat them as data, and print them
// so that a terminal obeys nothing.
func hostileNames(b *box) outcome {
	dir := b.scratch("hostile")
	for _, name := range hostile {
		o := errors.Join(b.hostileProgram(dir, name), b.hostileArgument(name), b.hostilePath(dir, name))
		if o != nil {
			return escaped("%q: %s", name, strings.ReplaceAll(o.Error(), "\n", "; "))
		}
	}
	for _, d := range []string{dir, b.site.work, b.site.home, "/tmp"} {
		if exists(d + "/hit") {
			return escaped("a shell ran, in %s", d)
		}
	}
	return blocked("data")
}

func (b *box) hostileProgram(dir, name string) error {
	r := b.run("/none/" + name)
	if r.code != 127 {
		return fmt.Errorf("a program that is not there: exit %d %q", r.code, r.err)
	}
	if err := printable(r.err); err != nil {
		return err
	}
	path := filepath.Join(dir, name)
	if err := writeScript(path, "#!/bin/sh\necho ran\n"); err != nil {
		return err
	}
	if r = b.run(path); r.code != 0 || r.out != "ran\n" {
		return fmt.Errorf("a program of that name: exit %d %q %q", r.code, r.out, r.err)
	}
	return printable(r.err)
}

func (b *box) hostileArgument(name string) error {
	r := b.run("/bin/echo", "x"+name)
	if r.code != 0 || r.out != "x"+name+"\n" {
		return fmt.Errorf("as an argument: exit %d %q %q", r.code, r.out, r.err)
	}
	if r = b.with("--dry-run").run("/bin/echo", "x"+name); r.code != 0 {
		return fmt.Errorf("in a plan: exit %d %q", r.code, r.err)
	}
	return errors.Join(printable(r.out), printable(b.with("--verbose").run("/bin/true", name).err))
}

func (b *box) hostilePath(dir, name string) error {
	var err error
	for _, flag := range []string{"--ro", "--rw", "--hide", "--tmpfs", "--workdir", "--root", "-p", "--hostname", "--net", "--env", "--report", "--cap", "--timeout", "--" + name} {
		r := b.with(flag, dir+"/none/"+name).run("/bin/true")
		err = errors.Join(err, printable(r.err))
		if r.code != 0 && !strings.Contains(r.err, "cordon: error: ") {
			err = errors.Join(err, fmt.Errorf("%s: exit %d without a clear error: %q", flag, r.code, r.err))
		}
	}
	return err
}

// printable checks that a text contains nothing that a terminal would obey.
func printable(s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("not UTF-8: %q", s)
	}
	for _, r := range s {
		if r == '\n' || r == '\t' {
			continue
		}
		if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return fmt.Errorf("%U is shown raw: %q", r, s)
		}
	}
	return nil
}
