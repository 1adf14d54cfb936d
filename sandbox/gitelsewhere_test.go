package sandbox

import (
	"io/fs"
	"slices"
	"strings"
	"testing"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/report"
)

// worktree is a machine whose working directory is a linked worktree of a repository in the same home.
func worktree() (*host.Host, fakeFiles, string) {
	h := fakeUser()
	t := h.Files.(fakeFiles)
	common := "/home/ann/main/.git"
	dir := common + "/worktrees/demo"
	t.dir(common+"/objects", common+"/refs", common+"/hooks", dir)
	put := func(path, text string) { t.put(path, fakeFile{mode: 0o644, text: text}) }
	put(common+"/HEAD", "ref: refs/heads/x\n")
	put(common+"/config", "[core]\n\tbare = false\n[remote \"o\"]\n\turl = https://a:b@c/\n")
	put(dir+"/HEAD", "ref: refs/heads/y\n")
	put(dir+"/commondir", "../..\n")
	put(dir+"/gitdir", h.Cwd+"/.git\n")
	put(h.Cwd+"/.git", "gitdir: "+dir+"\n")
	for _, d := range []string{common, dir} {
		t.put(d, fakeFile{mode: fs.ModeDir | 0o755, owner: h.UID, ino: 1 + uint64(len(d))})
	}
	return h, t, common
}

func compileFree(h *host.Host) (*compilation, error) {
	return compile(with(func(p *policy.Profile) {
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
		if p := c.tree.at(path); p.write != write || c.tree.hostPath(path) != path {
			t.Errorf("%s: write %v", path, p.write)
		}
	}
	if p := c.tree.at(common + "/config"); p.text == nil || strings.Contains(*p.text, "a:b") {
		t.Errorf("%+v", p)
	}
	if !slices.ContainsFunc(c.added, func(a report.Added) bool { return a.Path == common }) {
		t.Errorf("%+v", c.added)
	}
}

// What does not name the working tree in turn, or is not the caller's, is not shown.
func TestGitElsewhereForged(t *testing.T) {
	for name, change := range map[string]func(h *host.Host, t fakeFiles, common string){
		"another tree": func(h *host.Host, t fakeFiles, common string) {
			t.put(common+"/worktrees/demo/gitdir", fakeFile{text: "/home/ann/other/.git\n"})
		},
		"no pointer": func(h *host.Host, t fakeFiles, common string) { delete(t, common+"/worktrees/demo/gitdir") },
		"the main directory": func(h *host.Host, t fakeFiles, common string) {
			t.put(h.Cwd+"/.git", fakeFile{text: "gitdir: " + common + "\n"})
		},
		"a common directory that is not above": func(h *host.Host, t fakeFiles, common string) {
			t.put(common+"/worktrees/demo/commondir", fakeFile{text: "/home/ann/private/.git\n"})
			t.dir("/home/ann/private/.git/objects", "/home/ann/private/.git/refs")
			t.file("/home/ann/private/.git/HEAD")
		},
		"no repository": func(h *host.Host, t fakeFiles, common string) { delete(t, common+"/HEAD") },
		"somebody else's": func(h *host.Host, t fakeFiles, common string) {
			t.put(common, fakeFile{mode: fs.ModeDir | 0o755, owner: h.UID + 1})
		},
	} {
		h, files, common := worktree()
		change(h, files, common)
		c, err := compileFree(h)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{common, "/home/ann/private/.git"} {
			if c.tree.hostPath(path) != "" {
				t.Errorf("%s: %s is shown", name, path)
			}
		}
		if hint, ok := c.hintAbove([]string{"git", "status"}); name == "no pointer" && (!ok || hint.Flag != "--rw "+common) {
			t.Errorf("%s: %+v", name, hint)
		}
	}
}

func TestHintAbove(t *testing.T) {
	h := fakeUser()
	files := h.Files.(fakeFiles)
	delete(files, h.Cwd+"/.git")
	files.dir("/home/ann/src/.git")
	files.file("/home/ann/src/go.mod")
	c, err := compileFree(h)
	if err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{"git log": "the repository /home/ann/src,", "sh -c go\tbuild": "the Go module /home/ann/src,", "ls .": ""} {
		hint, ok := c.hintAbove(strings.Fields(args))
		if ok != (want != "") || !strings.Contains(hint.Text, want) || ok && hint.Flag != "--rw /home/ann/src" {
			t.Errorf("%s: %+v", args, hint)
		}
	}
}
