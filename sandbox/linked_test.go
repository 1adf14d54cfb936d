package sandbox

import (
	"testing"

	"cordon/policy"
)

// A protected name that is a link, wherever it leads to, does not stop the launch, and keeps its place.
func TestKeepLink(t *testing.T) {
	for _, to := range []string{"gone", "/etc", ".", "..", "/home/ann/.ssh", "sub", ".envrc"} {
		h := fakeUser()
		files := h.Files.(fakeFiles)
		files.dir(h.Cwd + "/sub")
		files.link(h.Cwd+"/.envrc", to)
		c, err := compile(with(func(p *policy.Profile) {
			p.Root = policy.Root{Kind: policy.RootHost}
			envrc := ro("./.envrc")
			envrc.Optional = true
			p.Mounts = []policy.Mount{tmpfs("~"), rw("."), envrc}
		}), h, &Request{Args: []string{"/usr/bin/true"}}, nil)
		if err != nil {
			t.Errorf("%s: %v", to, err)
			continue
		}
		if p := c.tree.at(h.Cwd + "/.envrc"); p.link != to || p.guard != guardPin {
			t.Errorf("%s: %+v", to, p)
		}
		if write := c.tree.at(h.Cwd + "/sub").write; write == (to == "sub") {
			t.Errorf("%s: sub is writable: %v", to, write)
		}
	}
}
