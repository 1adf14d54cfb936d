package compile

import (
	"encoding/binary"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/internal/sandboxtest"
)

// gitIndex returns an index of version 2 that names submodules.
func gitIndex(links ...string) string {
	b := []byte("DIRC\x00\x00\x00\x02")
	b = binary.BigEndian.AppendUint32(b, uint32(len(links)))
	for _, l := range links {
		e := make([]byte, 62)
		binary.BigEndian.PutUint32(e[24:], 0o160000)
		e = append(e, l...)
		b = append(append(b, e...), make([]byte, 8-len(e)%8)...)
	}
	return string(append(b, make([]byte, 20)...))
}

// gitTree returns a machine on which the working directory is a repository with submodules, a worktree and a nested
// repository.
func gitTree() (*host.Host, sandboxtest.FakeFiles) {
	h := sandboxtest.FakeUser()
	t := h.Files.(sandboxtest.FakeFiles)
	top := h.Cwd
	text := func(path, s string) { t.Put(top+path, sandboxtest.FakeFile{Perm: 0o644, Text: s}) }
	t.Dir(top+"/empty", top+"/hooks", top+"/.git/modules/lib", top+"/.git/worktrees/wt")
	text("/.git/index", gitIndex("empty", "lib"))
	text("/.git/config", "[core]\n\thooksPath = hooks\n[include]\n\tpath = ../more\n[http]\n\textraheader = TOKEN\n")
	text("/more", "[alias]\n\tx = !./tools/x now\n")
	text("/tools/x", "")
	text("/lib/.git", "gitdir: ../.git/modules/lib\n")
	text("/.git/modules/lib/config", "[remote \"o\"]\n\turl = https://a:b@c/\n")
	text("/wt/.git", "gitdir: "+top+"/.git/worktrees/wt\n")
	text("/.git/worktrees/wt/commondir", "../..\n")
	t.Dir(top + "/deep/er/.git")
	return h, t
}

func compileGit(t *testing.T, h *host.Host, change func(*policy.Profile)) (*Compilation, error) {
	t.Helper()
	return Compile(sandboxtest.With(func(p *policy.Profile) {
		p.Root, p.Git = policy.Root{Kind: policy.RootHost}, policy.GitProtect
		p.Mounts = []policy.Mount{tmpfs("~"), rw(".")}
		if change != nil {
			change(p)
		}
	}), h, &Request{Args: []string{"/usr/bin/true"}}, nil)
}

func (c *Compilation) guarded(kind picture.Guard) (list []string) {
	for i := range c.Tree.Parts {
		if p := &c.Tree.Parts[i]; p.Guard == kind {
			list = append(list, strings.TrimPrefix(p.Target, c.Host.Cwd))
		}
	}
	slices.Sort(list)
	return list
}

func TestGit(t *testing.T) {
	h, files := gitTree()
	c, err := compileGit(t, h, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.guarded(picture.GuardProtect), []string{"/.git", "/deep/er/.git", "/empty", "/hooks", "/lib/.git", "/more", "/tools/x", "/wt/.git"}; !slices.Equal(got, want) {
		t.Errorf("protected: %q, want %q", got, want)
	}
	if got, want := c.guarded(picture.GuardPin), []string{"/.git", "/deep", "/deep/er", "/empty", "/lib", "/tools", "/wt"}; !slices.Equal(got, want) {
		t.Errorf("pinned: %q, want %q", got, want)
	}
	if got, want := c.guarded(picture.GuardHide), []string{"/.git/config", "/.git/modules/lib/config"}; !slices.Equal(got, want) {
		t.Errorf("copies: %q, want %q", got, want)
	}
	files.Dir(h.Cwd+"/new/.git", h.Cwd+"/empty/.git")
	if got, complete := c.GitSeen.Appeared(); !slices.Equal(got, []string{h.Cwd + "/empty/.git", h.Cwd + "/new/.git"}) || !complete {
		t.Errorf("appeared: %q %v", got, complete)
	}
}

// A path that the profile itself makes writable stays writable.
func TestGitInsisted(t *testing.T) {
	h, _ := gitTree()
	c, err := compileGit(t, h, func(p *policy.Profile) { p.Mounts = append(p.Mounts, rw("./.git")) })
	if err != nil {
		t.Fatal(err)
	}
	if p := c.Tree.At(h.Cwd + "/.git/hooks"); !p.Write {
		t.Errorf("%+v", p)
	}
}

// If a bound directory lies below the top of a repository, the index of that repository must be read.
func TestGitBelow(t *testing.T) {
	h, files := gitTree()
	files.Put(h.Cwd+"/.git/index", sandboxtest.FakeFile{Text: gitIndex("deep/sub")})
	files.Dir(h.Cwd + "/deep/sub")
	top := h.Cwd
	h.Cwd += "/deep"
	c, err := compileGit(t, h, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.guarded(picture.GuardProtect); !slices.Contains(got, "/sub") {
		t.Errorf("protected: %q below %s", got, top)
	}
}

func TestGitErrors(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		change     func(*host.Host, sandboxtest.FakeFiles)
	}{
		{"a submodule that is not there", "a submodule in the index does not exist", func(h *host.Host, t sandboxtest.FakeFiles) { delete(t, h.Cwd+"/empty") }},
		{"hooks that are not there", "core.hooksPath: /home/ann/src/demo/hooks: no such file", func(h *host.Host, t sandboxtest.FakeFiles) { delete(t, h.Cwd+"/hooks") }},
		{"an include that is not there", "include.path: /home/ann/src/demo/more: no such file", func(h *host.Host, t sandboxtest.FakeFiles) { delete(t, h.Cwd+"/more") }},
		{"a command that is not there", "a command of the configuration, core.fsmonitor: /home/ann/src/demo/gone: no such file", func(h *host.Host, t sandboxtest.FakeFiles) {
			t.Put(h.Cwd+"/more", sandboxtest.FakeFile{Text: "[core]\n\tfsmonitor = ./gone/x\n"})
		}},
		{"a link to nothing", "/home/ann/src/demo/x: no such file", func(h *host.Host, t sandboxtest.FakeFiles) { t.Link(h.Cwd+"/.git/hooks/y", "../../x") }},
		{"a hard link", "/home/ann/src/demo/n: is a hard link to /home/ann/src/demo/.git/config", func(h *host.Host, t sandboxtest.FakeFiles) {
			t.Put(h.Cwd+"/.git/config", sandboxtest.FakeFile{Ino: 9, Names: 2})
			t.Put(h.Cwd+"/n", sandboxtest.FakeFile{Ino: 9, Names: 2})
		}},
		{"a broken index", "/.git/index: not an index", func(h *host.Host, t sandboxtest.FakeFiles) {
			t.Put(h.Cwd+"/.git/index", sandboxtest.FakeFile{Text: "x"})
		}},
		{"an index that is no file", "/.git/index: not a regular file", func(h *host.Host, t sandboxtest.FakeFiles) {
			t.Put(h.Cwd+"/.git/index", sandboxtest.FakeFile{Perm: fs.ModeNamedPipe | 0o644})
		}},
		{"indexes that are too large together", "/.git/modules/lib/index: with this one the indexes of all repositories have more than", func(h *host.Host, t sandboxtest.FakeFiles) {
			half := strings.Repeat("\x00", maxIndexes/2)
			t.Put(h.Cwd+"/.git/index", sandboxtest.FakeFile{Text: gitIndex("empty", "lib") + half})
			t.Put(h.Cwd+"/.git/modules/lib/index", sandboxtest.FakeFile{Text: gitIndex() + half})
		}},
		{"a configuration that is too large", "/.git/config: this configuration is larger than 256 KiB", func(h *host.Host, t sandboxtest.FakeFiles) {
			t.Put(h.Cwd+"/.git/config", sandboxtest.FakeFile{Text: "[core]\n" + strings.Repeat("#\n", maxConfig/2)})
		}},
		{"an included one that is too large", "/more: this configuration is larger than 256 KiB", func(h *host.Host, t sandboxtest.FakeFiles) {
			t.Put(h.Cwd+"/more", sandboxtest.FakeFile{Text: strings.Repeat("#\n", maxConfig/2+1)})
		}},
		{"a broken configuration", "/.git/config: a line is neither", func(h *host.Host, t sandboxtest.FakeFiles) {
			t.Put(h.Cwd+"/.git/config", sandboxtest.FakeFile{Text: "x"})
		}},
	} {
		h, files := gitTree()
		tt.change(h, files)
		if _, err := compileGit(t, h, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// git runs what directories of its own say, whatever the names of the directories are.
func TestGitWithin(t *testing.T) {
	for _, dir := range []string{"/.git", "/.git/hooks", "/bare", "/bare/hooks", "/linked"} {
		h, files := gitTree()
		files.Dir(h.Cwd+"/.git/hooks", h.Cwd+"/bare/objects", h.Cwd+"/bare/refs", h.Cwd+"/bare/hooks")
		files.Put(h.Cwd+"/bare/HEAD", sandboxtest.FakeFile{Text: "ref: refs/heads/x"})
		files.Put(h.Cwd+"/linked/HEAD", sandboxtest.FakeFile{})
		files.Put(h.Cwd+"/linked/commondir", sandboxtest.FakeFile{Text: "../evil"})
		c, err := compileGit(t, h, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.guarded(picture.GuardProtect); !slices.Contains(got, "/bare") || !slices.Contains(got, "/linked") {
			t.Errorf("protected: %q", got)
		}
		h.Cwd += dir
		if _, err := compileGit(t, h, nil); err == nil || !strings.Contains(err.Error(), "the working directory is, or lies in, ") {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

// A repository that somebody has put in the place of another one is reported.
func TestGitSwapped(t *testing.T) {
	h, files := gitTree()
	c, err := compileGit(t, h, nil)
	if err != nil {
		t.Fatal(err)
	}
	at := h.Cwd + "/deep/er/.git"
	files.Put(at, sandboxtest.FakeFile{Perm: fs.ModeDir | 0o755, Ino: 7})
	files.Put(h.Cwd+"/b/HEAD", sandboxtest.FakeFile{})
	files.Dir(h.Cwd+"/b/objects", h.Cwd+"/b/refs")
	if got, _ := c.GitSeen.Appeared(); !slices.Equal(got, []string{h.Cwd + "/b", at}) {
		t.Errorf("appeared: %q", got)
	}
}

// The targets of links in git's directories, the programs that commands name, and the files that included files include
// are all read-only.
func TestGitLeads(t *testing.T) {
	h, files := gitTree()
	files.File(h.Cwd+"/s/pc", h.Cwd+"/fsm.sh", h.Cwd+"/d/al")
	files.Link(h.Cwd+"/.git/hooks/pre-commit", "../../s/pc")
	files.Put(h.Cwd+"/more", sandboxtest.FakeFile{Text: "[core]\n\tfsmonitor = sh fsm.sh\n[include]\n\tpath = d/al\n[http]\n\textraheader = T\n"})
	c, err := compileGit(t, h, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"/s/pc", "/fsm.sh", "/d/al"} {
		if got := c.guarded(picture.GuardProtect); !slices.Contains(got, want) {
			t.Errorf("protected: %q without %s", got, want)
		}
	}
	if got := c.guarded(picture.GuardHide); !slices.Contains(got, "/more") {
		t.Errorf("copies: %q", got)
	}
}
