package compile

import (
	"strings"
	"testing"

	"cordon/policy"
	"cordon/sandbox/internal/sandboxtest"
)

// The tree of a tool reaches up to the directory of its version, its environment or its package.
func TestTreesOf(t *testing.T) {
	for path, want := range map[string]string{
		".nvm/versions/node/v20.1.0/bin/node":         ".nvm/versions/node/v20.1.0",
		".nvm/versions/node":                          "",
		".nvm/nvm.sh":                                 "",
		".pyenv/shims/python":                         ".pyenv",
		".pyenv":                                      "",
		".local/share/pipx/venvs/black/bin/black":     ".local/share/pipx/venvs/black",
		".local/share/uv/python/cpython-3.12/bin/p":   ".local/share/uv/python/cpython-3.12",
		".cargo/bin/cargo":                            ".cargo/bin .rustup",
		".cargo/credentials.toml":                     "",
		".sdkman/candidates/java/21.0.1-tem/bin/java": ".sdkman/candidates/java/21.0.1-tem",
		".ssh/id":          "",
		".local/bin/black": "",
	} {
		if got := strings.Join(treesOf(path), " "); got != want {
			t.Errorf("%s: %q, not %q", path, got, want)
		}
	}
}

// If the program belongs to a tool, the tool's own tree is shown, and hide rules hide what lies in the tree.
func TestTools(t *testing.T) {
	const venv = "/home/ann/.local/share/pipx/venvs/black"
	for _, x := range []struct {
		name   string
		args   string
		change func(*policy.Profile)
		shows  bool
	}{
		{"by its link", "black", nil, true},
		{"by its path", "/home/ann/.local/bin/black", nil, true},
		{"another program", "true", nil, false},
		{"a rule hides its tree", "black", func(p *policy.Profile) { p.Hide = []policy.Hide{{Pattern: "~/.local/share"}} }, false},
		{"an empty root", "black", func(p *policy.Profile) { p.Root = policy.Root{Kind: policy.RootEmpty} }, false},
	} {
		h := sandboxtest.FakeUser()
		files := h.Files.(sandboxtest.FakeFiles)
		files.Put(venv+"/bin/black", sandboxtest.FakeFile{Perm: 0o755, Text: "#!" + venv + "/bin/python\n"})
		files.Link(venv+"/bin/python", "/usr/bin/true")
		files.File(venv + "/.netrc")
		files.Link("/home/ann/.local/bin/black", venv+"/bin/black")
		c, err := Compile(sandboxtest.With(func(p *policy.Profile) {
			p.Root = policy.Root{Kind: policy.RootHost}
			p.Mounts = []policy.Mount{tmpfs("~")}
			p.Hide = []policy.Hide{{Pattern: "**/.netrc"}}
			p.Env.Keep = []policy.EnvKeep{{Pattern: "PATH"}}
			if x.change != nil {
				x.change(p)
			}
		}), h, &Request{Args: []string{x.args}, Env: []string{"PATH=/home/ann/.local/bin:/usr/bin:/bin"}}, nil)
		if err != nil && x.shows {
			t.Errorf("%s: %v", x.name, err)
		}
		if c == nil {
			continue
		}
		if got := c.Tree.HostPath(venv) == venv; got != x.shows {
			t.Errorf("%s: shown: %v", x.name, got)
		}
		if x.shows && !c.Tree.At(venv+"/.netrc").Opaque {
			t.Errorf("%s: what a rule hides is uncovered", x.name)
		}
		if x.shows && c.Tree.At(venv).Write {
			t.Errorf("%s: writable", x.name)
		}
	}
}
