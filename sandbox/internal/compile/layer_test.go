package compile

import (
	"io/fs"
	"strings"
	"testing"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/internal/sandboxtest"
)

// kept returns a host with a directory for changes, and a profile with an overlay that stores its changes there.
func kept(change func(sandboxtest.FakeFiles)) (*host.Host, *policy.Profile) {
	h := sandboxtest.FakeUser()
	t := h.Files.(sandboxtest.FakeFiles)
	t.Dir("/home/ann/layer", "/home/ann/.m2")
	t.Own("/home/ann/layer")
	if change != nil {
		change(t)
	}
	return h, sandboxtest.Mounted(
		policy.Mount{Kind: policy.MountBind, Source: "/home/ann", Write: true},
		policy.Mount{Kind: policy.MountOverlay, Source: "~/.m2", Target: "/home/ann/.m2", Upper: "~/layer"})
}

// TestLayerRefused checks that the launch fails if an earlier run may have left something in place of the directory.
func TestLayerRefused(t *testing.T) {
	tests := map[string]struct {
		change func(sandboxtest.FakeFiles)
		want   string
	}{
		"a link":           {func(t sandboxtest.FakeFiles) { t.Link("/home/ann/layer", ".ssh") }, "/home/ann/layer: is a symbolic link"},
		"upper is a link":  {func(t sandboxtest.FakeFiles) { t.Link("/home/ann/layer/upper", "../.ssh"); t.Own("/home/ann/layer") }, "/home/ann/layer/upper: is a symbolic link"},
		"work is a link":   {func(t sandboxtest.FakeFiles) { t.Link("/home/ann/layer/work", "/tmp"); t.Own("/home/ann/layer") }, "/home/ann/layer/work: is a symbolic link"},
		"upper is a file":  {func(t sandboxtest.FakeFiles) { t.File("/home/ann/layer/upper"); t.Own("/home/ann/layer") }, "/home/ann/layer/upper: not a directory"},
		"somebody else's":  {func(t sandboxtest.FakeFiles) { t.Dir("/home/ann/layer") }, "/home/ann/layer: belongs to another user"},
		"upper somebody's": {func(t sandboxtest.FakeFiles) { t.Dir("/home/ann/layer/upper"); t.Own("/home/ann/layer") }, "/home/ann/layer/upper: belongs to another user"},
		"everybody's": {func(t sandboxtest.FakeFiles) {
			t["/home/ann/layer"] = sandboxtest.FakeFile{Perm: fs.ModeDir | 0o777, Owner: 1000}
		}, "/home/ann/layer: everybody may write to it"},
		"not there":             {func(t sandboxtest.FakeFiles) { delete(t, "/home/ann/layer") }, "/home/ann/layer: no such file or directory"},
		"nothing is the matter": {nil, ""},
	}
	for name, tt := range tests {
		h, p := kept(tt.change)
		_, err := Plan(p, h, &Request{Args: []string{"true"}, Env: []string{}})
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		case tt.want != "" && fail.HintOf(err) == "":
			t.Errorf("%s: no hint", name)
		}
	}
	h, p := kept(nil)
	h.Kernel = [2]int{5, 13}
	if _, err := Plan(p, h, &Request{Args: []string{"true"}, Env: []string{}}); err == nil || !strings.Contains(err.Error(), "not to follow links") {
		t.Errorf("on 5.13: %v", err)
	}
}

// TestLayered checks that the model of the tree shows what an earlier run has written, changed and removed.
func TestLayered(t *testing.T) {
	files := sandboxtest.FakeFiles{}
	files.File("/low/same", "/low/changed", "/low/gone/x", "/low/dir/below", "/up/changed", "/up/made", "/up/dir/new", "/up/file")
	files.Dir("/low/file")
	files.Put("/up/gone", sandboxtest.FakeFile{Perm: fs.ModeDevice | fs.ModeCharDevice})
	files.Link("/up/link", "made")
	tr := &picture.Tree{Files: files}
	tr.Add(picture.Part{Target: "/t", Source: "/low", Upper: "/up", Layer: true, Made: map[string]picture.Node{}})
	for path, want := range map[string]string{
		"/t": "/low", "/t/same": "/low/same", "/t/changed": "/up/changed", "/t/made": "/up/made", "/t/gone": "", "/t/gone/x": "",
		"/t/dir": "/low/dir", "/t/dir/below": "/low/dir/below", "/t/dir/new": "/up/dir/new", "/t/file": "/up/file", "/t/file/x": "",
		"/t/none/at/all": "/low/none/at/all", "/t/link": "/up/link",
	} {
		if got := tr.HostPath(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	if _, ok := tr.Stat("/t/gone"); ok {
		t.Error("what was removed is there")
	}
	if n, err := tr.Entry("/t/link"); err != nil || n.Link != "made" {
		t.Errorf("link: %q %v", n.Link, err)
	}
}
