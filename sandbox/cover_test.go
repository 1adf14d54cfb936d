package sandbox

import (
	"testing"

	"cordon/policy"
	"cordon/sandbox/plan"
)

// pictured is a compilation of the user's machine whose home is writable, with a bind and a hidden file in it.
func pictured() *compilation {
	h := fakeUser()
	c := &compilation{profile: &policy.Profile{}, host: h, tree: tree{files: h.Files}, rootFD: plan.R(plan.Root)}
	c.ids.outUID = h.UID
	c.tree.add(part{target: "/", source: "/"})
	c.tree.add(part{target: "/home/ann", source: "/home/ann", write: true})
	c.tree.add(part{target: "/home/ann/src/demo", source: "/home/ann/src/demo"})
	return c
}

func TestPin(t *testing.T) {
	c := pictured()
	c.pinAbove(own("test"), "/home/ann/src/demo/.git")
	c.pinAbove(own("test"), "/home/ann/src/demo/.git") // nothing more
	if len(c.tree.parts) != 4 {
		t.Fatalf("%+v", c.tree.parts)
	}
	p := c.tree.at("/home/ann/src")
	if p.target != "/home/ann/src" || p.source != "/home/ann/src" || !p.write || p.guard != guardPin {
		t.Errorf("%+v", p)
	}
	if p := c.tree.at("/home/ann/src/demo/main.c"); p.write || p.target != "/home/ann/src/demo" {
		t.Errorf("what is mounted below a pin is %+v", p)
	}
	for i := range c.tree.parts {
		if got := c.tree.last[c.tree.parts[i].target]; got != i {
			t.Errorf("%s is the last part at %d, not at %d", c.tree.parts[i].target, got, i)
		}
	}
}

func TestProtect(t *testing.T) {
	c := pictured()
	if err := c.protect(own("test"), "/home/ann/.config/gh", policy.Pos{}); err != nil {
		t.Fatal(err)
	}
	if p := c.tree.at("/home/ann/.config/gh/hosts"); p.write || p.guard != guardProtect || p.behind != "/home/ann/.config/gh" {
		t.Errorf("%+v", p)
	}
	if p := c.tree.at("/home/ann/.config/x"); !p.write || p.guard != guardPin {
		t.Errorf("%+v", p)
	}
	before := len(c.tree.parts)
	for _, path := range []string{"/home/ann/none", "/home/ann/src/demo/.git"} { // not there; read-only already
		if err := c.protect(own("test"), path, policy.Pos{}); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.tree.parts) != before+1 { // above the second is a pin
		t.Errorf("%+v", c.tree.parts[before:])
	}
}

// A device covers a file if the task keeps a capability that passes over modes.
func TestCoverNode(t *testing.T) {
	c := pictured()
	if got := c.coverNode(false); got != "file" {
		t.Error(got)
	}
	c.keep = capsPastModes
	if got := c.coverNode(false); got != "device" {
		t.Error(got)
	}
	if got := c.coverNode(true); got != "dir" {
		t.Error(got)
	}
}
