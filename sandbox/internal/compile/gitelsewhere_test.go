package compile

import (
	"io/fs"
	"slices"
	"strings"
	"testing"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/sandboxtest"
	"cordon/sandbox/report"
)

// worktree returns a machine whose working directory is a linked worktree of a repository in the same home.
func worktree() (*host.Host, sandboxtest.FakeFiles, string) {
	h := sandboxtest.FakeUser()
	t := h.Files.(sandboxtest.FakeFiles)
	common := "/home/ann/main/.git"
	dir := common + "/worktrees/demo"
	t.Dir(common+"/objects", common+"/refs", common+"/hooks", dir)
	put := func(path, text string) { t.Put(path, sandboxtest.FakeFile{Perm: 0o644, Text: text}) }
	put(common+"/HEAD", "ref: refs/heads/x\n")
	put(common+"/config", "[core]\n\tbare = false\n[remote \"o\"]\n\turl = https://a:b@c/\n")
	put(dir+"/HEAD", "ref: refs/heads/y\n")
	put(dir+"/commondir", "../..\n")
	put(dir+"/gitdir", h.Cwd+"/.git\n")
	put(h.Cwd+"/.git", "gitdir: "+dir+"\n")
	for _, d := range []string{common, dir} {
		t.Put(d, sandboxtest.FakeFile{Perm: fs.ModeDir | 0o755, Owner: h.UID, Ino: 1 + uint64(len(d))})
	}
	return h, t, common
}

func compileFree(h *host.Host) (*Compilation, error) {
	return Compile(sandboxtest.With(func(p *policy.Profile) {
		p.Root = policy.Root{Kind: policy.RootHost}
		p.Mounts = []policy.Mount{tmpfs("~"), rw(".")}
	}), h, &Request{Args: []string{"/usr/bin/true"}}, nil)
}

func TestGitElsewhere(t *testing.T) {
	h, _, common := worktree()
	c, err := compileFree(h)
	if err != nil {
		t.Fatal(err)
	}
	for path, write := range map[string]bool{common: false, common + "/hooks": false, common + "/objects": true, common + "/refs": true,
		common + "/worktrees/demo": true, common + "/worktrees/demo/commondir": false, common + "/worktrees/demo/gitdir": false} {
		if p := c.Tree.At(path); p.Write != write || c.Tree.HostPath(path) != path {
			t.Errorf("%s: write %v", path, p.Write)
		}
	}
	if p := c.Tree.At(common + "/config"); p.Text == nil || strings.Contains(*p.Text, "a:b") {
		t.Errorf("%+v", p)
	}
	if !slices.ContainsFunc(c.Added, func(a report.Added) bool { return a.Path == common }) {
		t.Errorf("%+v", c.Added)
	}
}

// A directory that does not name the working tree in turn, or does not belong to the caller, is not shown.
func TestGitElsewhereForged(t *testing.T) {
	for name, change := range map[string]func(h *host.Host, t sandboxtest.FakeFiles, common string){
		"another tree": func(h *host.Host, t sandboxtest.FakeFiles, common string) {
			t.Put(common+"/worktrees/demo/gitdir", sandboxtest.FakeFile{Text: "/home/ann/other/.git\n"})
		},
		"no pointer": func(h *host.Host, t sandboxtest.FakeFiles, common string) { delete(t, common+"/worktrees/demo/gitdir") },
		"the main directory": func(h *host.Host, t sandboxtest.FakeFiles, common string) {
			t.Put(h.Cwd+"/.git", sandboxtest.FakeFile{Text: "gitdir: " + common + "\n"})
		},
		"a common directory that is not above": func(h *host.Host, t sandboxtest.FakeFiles, common string) {
			t.Put(common+"/worktrees/demo/commondir", sandboxtest.FakeFile{Text: "/home/ann/private/.git\n"})
			t.Dir("/home/ann/private/.git/objects", "/home/ann/private/.git/refs")
			t.File("/home/ann/private/.git/HEAD")
		},
		"no repository": func(h *host.Host, t sandboxtest.FakeFiles, common string) { delete(t, common+"/HEAD") },
		"somebody else's": func(h *host.Host, t sandboxtest.FakeFiles, common string) {
			t.Put(common, sandboxtest.FakeFile{Perm: fs.ModeDir | 0o755, Owner: h.UID + 1})
		},
	} {
		h, files, common := worktree()
		change(h, files, common)
		c, err := compileFree(h)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{common, "/home/ann/private/.git"} {
			if c.Tree.HostPath(path) != "" {
				t.Errorf("%s: %s is shown", name, path)
			}
		}
		if hint, ok := c.HintAbove([]string{"git", "status"}); name == "no pointer" && (!ok || hint.Flag != "--rw "+common) {
			t.Errorf("%s: %+v", name, hint)
		}
	}
}

func TestHintAbove(t *testing.T) {
	h := sandboxtest.FakeUser()
	files := h.Files.(sandboxtest.FakeFiles)
	delete(files, h.Cwd+"/.git")
	files.Dir("/home/ann/src/.git")
	files.File("/home/ann/src/go.mod")
	c, err := compileFree(h)
	if err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{"git log": "the repository /home/ann/src,", "sh -c go\tbuild": "the Go module /home/ann/src,", "ls .": ""} {
		hint, ok := c.HintAbove(strings.Fields(args))
		if ok != (want != "") || !strings.Contains(hint.Text, want) || ok && hint.Flag != "--rw /home/ann/src" {
			t.Errorf("%s: %+v", args, hint)
		}
	}
}
