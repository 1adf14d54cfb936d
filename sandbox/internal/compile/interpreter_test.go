package compile

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/internal/sandboxtest"
)

// firstLines lists lines that a parser which is too lenient or too strict about "#!" would read otherwise than the
// kernel. DIR/e exists, and so do names that consist of DIR/e and a control character.
var firstLines = []string{
	"#!DIR/e", "#!DIR/e\n", "#! \t DIR/e \t \n", "#!DIR/e a\n", "#!DIR/e\ta b  c \t\n", "#!DIR/e a\x00b\n", "#!DIR/e a \x00b\n", "#!DIR/e\x00a\n",
	"#!DIR/e\v\n", "#!DIR/e\r\n", "#!DIR/e\f\n", "#!DIR/e\u0085\n", "#!DIR/e\u00a0a\n", "#!DIR/e a\r\n", "#!DIR/e \va\n", "#!\vDIR/e\n",
	"#!", "#!\n", "#! \t\n", "#!\x00DIR/e\n", "#! \x00\n", "#\n!DIR/e\n", " #!DIR/e\n", "#!DIR/none\n", "#!DIR/e\n#!DIR/none\n",
	"#!" + strings.Repeat(" ", 300) + "DIR/e\n", "#!DIR/e " + strings.Repeat("a", 400) + "\n", "#!DIR/e" + strings.Repeat(" ", 400) + "a\n",
	"#!DIR/" + strings.Repeat("x", 400) + "\n", "#!DIR/e" + strings.Repeat("/", 400) + "\n", "#!DIR/e b" + strings.Repeat(" ", 400),
}

// TestShebang compares shebang with the running kernel. The interpreter is a program that prints its arguments.
func TestShebang(t *testing.T) {
	dir := t.TempDir()
	echo, err := os.ReadFile("/bin/echo")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"e", "e\v", "e\r", "e\f", "e\u0085"} {
		if err := os.WriteFile(filepath.Join(dir, name), append(echo, name...), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	lines := append([]string(nil), firstLines...)
	for n := 240; n < 262; n++ { // around the end of what the kernel reads
		pad := strings.Repeat("/", max(0, n-len("#!DIR/e")-len(dir)+3))
		lines = append(lines, "#!DIR"+pad+"/e", "#!DIR"+pad+"/e\n", "#!DIR"+pad+"/e a", "#!DIR"+pad+"/e abc\n", "#!DIR"+pad+"/e  \n", "#!DIR"+pad+"/e\t")
	}
	for _, line := range lines {
		text := strings.ReplaceAll(line, "DIR", dir)
		script := filepath.Join(dir, "script")
		if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(script).Output()
		name, arg, ok := shebang([]byte(text))
		if _, missing := os.Stat(name); missing != nil {
			ok = false
		}
		want := strings.TrimPrefix(arg+" "+script+"\n", " ")
		got := strings.TrimPrefix(string(out), " ") // without a newline, blanks behind the name make an empty argument
		if ran := err == nil; ran != ok || ran && got != want {
			t.Errorf("%q: the kernel gives %q, %v; shebang %q %q %v", text, out, err, name, arg, ok)
		}
	}
}

// kernelShebang is load_script of fs/binfmt_script.c, statement by statement.
func kernelShebang(head []byte) (name, arg string, ok bool) {
	buf := make([]byte, 256)
	copy(buf, head)
	blank := func(c byte) bool { return c == ' ' || c == '\t' }
	nonBlank := func(at, last int) int {
		for ; at <= last; at++ {
			if !blank(buf[at]) {
				return at
			}
		}
		return -1
	}
	terminator := func(at, last int) int {
		for ; at <= last; at++ {
			if blank(buf[at]) || buf[at] == 0 {
				return at
			}
		}
		return -1
	}
	text := func(at, end int) string {
		s, _, _ := bytes.Cut(buf[at:end], []byte{0})
		return string(s)
	}
	if buf[0] != '#' || buf[1] != '!' {
		return "", "", false
	}
	last := len(buf) - 1
	end := bytes.IndexAny(buf, "\n\x00")
	if end < 0 || buf[end] == 0 {
		if end = nonBlank(2, last); end < 0 || terminator(end, last) < 0 {
			return "", "", false
		}
		end = last
	}
	for blank(buf[end-1]) {
		end--
	}
	first := nonBlank(2, end)
	if first < 0 || first == end {
		return "", "", false
	}
	sep := terminator(first, end)
	if sep < 0 {
		return text(first, end), "", true
	}
	if buf[sep] != 0 {
		if at := nonBlank(sep, end); at >= 0 && at < end {
			arg = text(at, end)
		}
	}
	return text(first, sep), arg, true
}

func FuzzShebang(f *testing.F) {
	for _, line := range firstLines {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, head []byte) {
		name, arg, ok := shebang(head)
		if kname, karg, kok := kernelShebang(head); kok && kname != "" && (!ok || name != kname || arg != karg) || !kok && ok {
			t.Errorf("%q: %q %q %v, the kernel %q %q %v", head, name, arg, ok, kname, karg, kok)
		}
	})
}

// TestPlanted checks that nothing that a task could have left decides which file is bound.
func TestPlanted(t *testing.T) {
	plant := func(h *host.Host) {
		f := h.Files.(sandboxtest.FakeFiles)
		f.Own("/home/ann", "/home/ann/bin", "/home/ann/src/demo")
		f.Program("/home/ann/keys/elf", "\x7fELF")
		f.Program("/home/ann/keys/text", "TOKEN=1\n")
		f.Program("/home/ann/src/demo/tool", "#!/home/ann/keys/text\n")
		f.Program("/home/ann/src/demo/vt", "#!/home/ann/src/demo/l\v\n")
		f.Program("/home/ann/src/demo/nested", "#!/home/ann/src/demo/d/elf\n")
		f.Program("/home/ann/src/demo/env", "#!/bin/sh\n")
		f.Program("/home/ann/src/demo/envs", "#!/home/ann/src/demo/env elf\n")
		f.Program("/home/ann/src/demo/rel", "#!l\n")
		f.Program("/home/ann/src/demo/path", "#!/usr/bin/env l\n")
		f.Program("/home/ann/src/demo/cr", "#!/usr/bin/env elf\r\n")
		f.Link("/home/ann/src/demo/l", "/home/ann/keys/elf")
		f.Link("/home/ann/src/demo/d", "../../keys")
		f.Link("/usr/bin/hidden", "/home/ann/keys/elf")
		f.Link("/home/ann/bin/mine", "../keys/elf")
	}
	tests := []struct{ typed, path, want string }{
		{"./l", "", "could have made that link"},
		{"./d/elf", "", "could have made that link"},
		{"l", "/home/ann/src/demo", "could have made that link"},
		{"/home/ann/bin/mine", "", "could have made that link"},
		{"./tool", "", "not an ELF executable"},
		{"./vt", "", "interpreter /home/ann/src/demo/l\v: no such file"},
		{"./nested", "", "could have made that link"},
		{"./rel", "", "could have made that link"},
		{"./path", "/home/ann/src/demo:/usr/bin", "could have made that link"},
		{"./cr", "/home/ann/keys", "interpreter elf\r: not found"},
		{"hidden", "/usr/bin", "hidden by"},
		{"/home/ann/keys/elf", "", "hidden by"},
	}
	for _, tt := range tests {
		p := sandboxtest.Mounted(policy.Mount{Kind: policy.MountTmpfs, Target: "/home"}, policy.Mount{Kind: policy.MountBind, Source: "/home/ann/src/demo", Write: true})
		p.Env.Keep = []policy.EnvKeep{{Pattern: "PATH"}}
		if tt.want == "hidden by" {
			p.Hide = []policy.Hide{{Pattern: "~/keys", Pos: sandboxtest.Pos(5)}}
		}
		c, err := Compile(p, sandboxtest.OnHost(plant), &Request{Args: []string{tt.typed}, Env: []string{"PATH=" + tt.path}}, nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q; added %v", tt.typed, err, tt.want, c)
		}
	}
	p := sandboxtest.Mounted(policy.Mount{Kind: policy.MountTmpfs, Target: "/home"}, policy.Mount{Kind: policy.MountBind, Source: "/home/ann/src/demo", Write: true})
	c, err := Compile(p, sandboxtest.OnHost(plant), &Request{Args: []string{"./envs"}, Env: []string{"PATH=/home/ann/keys"}}, nil)
	if err != nil || len(c.Added) != 0 {
		t.Errorf("an env that is not the system's: %v, added %v", err, c.Added)
	}
}

func TestHides(t *testing.T) {
	f := sandboxtest.FakeUser().Files.(sandboxtest.FakeFiles)
	f.File("/data/keys/k", "/home/ann/proj/a.pem")
	f.Link("/home/ann/.keys", "/data/keys")
	h := sandboxtest.FakeUser()
	h.Files = f
	c := &Compilation{Host: h, Tree: picture.Tree{Files: f}, Profile: sandboxtest.HostRoot()}
	for _, tt := range []struct {
		pattern, real string
		hides         bool
	}{
		{"~/.keys", "/data/keys/k", true},
		{"~/.keys", "/data/key", false},
		{"~/proj/*.pem", "/home/ann/proj/a.pem", true},
		{"~/proj/*.pem", "/home/ann/proj/a.pub", false},
		{"/home/*/proj", "/home/ann/proj/sub/x", true},
		{"/home/**/x", "/home/ann/proj/sub/x", true},
		{"/home/**/x", "/home/y", false},
		{"**/.env", "/srv/a/b/.env", true},
		{"**/secrets/*", "/srv/secrets/b/c", true},
		{"**/.env", "/srv/a/b/.envrc", false},
	} {
		if got := c.hides(tt.pattern, tt.real); got != tt.hides {
			t.Errorf("%s hides %s: %v", tt.pattern, tt.real, got)
		}
	}
}
