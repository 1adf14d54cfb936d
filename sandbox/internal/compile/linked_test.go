package compile

import (
	"testing"

	"cordon/policy"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/internal/sandboxtest"
)

// If a protected name is a link, the launch succeeds wherever the link leads, and the link keeps its place.
func TestKeepLink(t *testing.T) {
	for _, to := range []string{"gone", "/etc", ".", "..", "/home/ann/.ssh", "sub", ".envrc"} {
		h := sandboxtest.FakeUser()
		files := h.Files.(sandboxtest.FakeFiles)
		files.Dir(h.Cwd + "/sub")
		files.Link(h.Cwd+"/.envrc", to)
		c, err := Compile(sandboxtest.With(func(p *policy.Profile) {
			p.Root = policy.Root{Kind: policy.RootHost}
			envrc := ro("./.envrc")
			envrc.Optional = true
			p.Mounts = []policy.Mount{tmpfs("~"), rw("."), envrc}
		}), h, &Request{Args: []string{"/usr/bin/true"}}, nil)
		if err != nil {
			t.Errorf("%s: %v", to, err)
			continue
		}
		if p := c.Tree.At(h.Cwd + "/.envrc"); p.Link != to || p.Guard != picture.GuardPin {
			t.Errorf("%s: %+v", to, p)
		}
		if write := c.Tree.At(h.Cwd + "/sub").Write; write == (to == "sub") {
			t.Errorf("%s: sub is writable: %v", to, write)
		}
	}
}
