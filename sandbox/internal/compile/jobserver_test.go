package compile

import (
	"testing"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/sandboxtest"
)

// What names the jobserver of a make outside is removed, and nothing else. A jobserver that the task has stays.
func TestJobserver(t *testing.T) {
	for _, x := range []struct {
		entry string
		extra int
		want  string
	}{
		{"MAKEFLAGS= -j4 --jobserver-auth=3,4", 0, "MAKEFLAGS= -j4"},
		{"MAKEFLAGS=s -j4 --jobserver-auth=3,4 -- CC=gcc", 0, "MAKEFLAGS=s -j4 -- CC=gcc"},
		{"MAKEFLAGS= --jobserver-fds=3,4 -j", 0, "MAKEFLAGS="},
		{"MAKEFLAGS= -j8 --jobserver-auth=fifo:/tmp/GMfifo7 -Otarget --sync-mutex=fnm:/tmp/GM7", 0, "MAKEFLAGS= -j8 -Otarget"},
		{"MAKEFLAGS= -j8 --jobserver-auth=fifo:/home/ann/src/demo/fifo", 0, "MAKEFLAGS= -j8 --jobserver-auth=fifo:/home/ann/src/demo/fifo"},
		{"MAKEFLAGS= -j4 --jobserver-auth=3,4", 2, "MAKEFLAGS= -j4 --jobserver-auth=3,4"},
		{"MAKEFLAGS= -j4 --jobserver-auth=3,4", 1, "MAKEFLAGS= -j4"},
		{"MAKEFLAGS= -k -- A=--jobserver-auth=3,4", 0, "MAKEFLAGS= -k -- A=--jobserver-auth=3,4"},
		{"CARGO_MAKEFLAGS=-j --jobserver-fds=8,9 --jobserver-auth=8,9", 0, "CARGO_MAKEFLAGS=-j"},
		{"MAKEFLAGS=-j2", 0, "MAKEFLAGS=-j2"},
	} {
		h := sandboxtest.FakeUser()
		h.Files.(sandboxtest.FakeFiles).File(h.Cwd + "/fifo")
		c, err := Compile(sandboxtest.With(func(p *policy.Profile) {
			p.Root = policy.Root{Kind: policy.RootHost}
			p.Mounts = []policy.Mount{rw(".")}
			p.Env.Keep = []policy.EnvKeep{{Pattern: "*MAKEFLAGS"}, {Pattern: "MAKEFLAGS"}, {Pattern: "CARGO_*"}}
		}), h, &Request{Args: []string{"/usr/bin/true"}, Env: []string{x.entry}, Extra: make([]host.Stdio, x.extra)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Program.Env) != 1 || c.Program.Env[0] != x.want {
			t.Errorf("%q: %q, not %q", x.entry, c.Program.Env, x.want)
		}
		if changed := len(c.Left) > 0; changed != (x.entry != x.want) {
			t.Errorf("%q: left out: %v", x.entry, c.Left)
		}
	}
}

// A script without an interpreter is run by a shell, as execvp(3) does. A file that is no text is not run by a shell.
func TestPlainText(t *testing.T) {
	for text, shell := range map[string]bool{"echo hello\n": true, "": true, "#!/bin/sh\n": false, "\x7fELF\x02\x01\x01\x00": false, "PK\x03\x04\x14\x00": false} {
		h := sandboxtest.FakeUser()
		files := h.Files.(sandboxtest.FakeFiles)
		files.Put("/usr/bin/script", sandboxtest.FakeFile{Perm: 0o755, Text: text})
		files.Program("/bin/sh", "\x7fELF")
		c, err := Compile(sandboxtest.With(func(p *policy.Profile) { p.Root = policy.Root{Kind: policy.RootHost} }), h,
			&Request{Args: []string{"/usr/bin/script", "arg"}}, nil)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := c.Program.path == "/bin/sh" && len(c.Program.args) == 3 && c.Program.args[1] == "/usr/bin/script"; got != shell {
			t.Errorf("%q: runs %s with %q", text, c.Program.path, c.Program.args)
		}
	}
}
