package compile

import (
	"testing"

	"cordon/policy"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/internal/sandboxtest"
	"cordon/sandbox/plan"
)

// pictured returns a compilation for the user's machine with a writable home, which has a bind and a hidden file in it.
func pictured() *Compilation {
	h := sandboxtest.FakeUser()
	c := &Compilation{Profile: &policy.Profile{}, Host: h, Tree: picture.Tree{Files: h.Files}, rootFD: plan.R(plan.Root)}
	c.IDs.OutUID = h.UID
	c.Tree.Add(picture.Part{Target: "/", Source: "/"})
	c.Tree.Add(picture.Part{Target: "/home/ann", Source: "/home/ann", Write: true})
	c.Tree.Add(picture.Part{Target: "/home/ann/src/demo", Source: "/home/ann/src/demo"})
	return c
}

func TestPin(t *testing.T) {
	c := pictured()
	c.pinAbove(own("test"), "/home/ann/src/demo/.git")
	c.pinAbove(own("test"), "/home/ann/src/demo/.git") // nothing more
	if len(c.Tree.Parts) != 4 {
		t.Fatalf("%+v", c.Tree.Parts)
	}
	p := c.Tree.At("/home/ann/src")
	if p.Target != "/home/ann/src" || p.Source != "/home/ann/src" || !p.Write || p.Guard != picture.GuardPin {
		t.Errorf("%+v", p)
	}
	if p := c.Tree.At("/home/ann/src/demo/main.c"); p.Write || p.Target != "/home/ann/src/demo" {
		t.Errorf("what is mounted below a pin is %+v", p)
	}
	for i := range c.Tree.Parts {
		if got := c.Tree.Last[c.Tree.Parts[i].Target]; got != i {
			t.Errorf("%s is the last part at %d, not at %d", c.Tree.Parts[i].Target, got, i)
		}
	}
}

func TestProtect(t *testing.T) {
	c := pictured()
	if err := c.protect(own("test"), "/home/ann/.config/gh", policy.Pos{}); err != nil {
		t.Fatal(err)
	}
	if p := c.Tree.At("/home/ann/.config/gh/hosts"); p.Write || p.Guard != picture.GuardProtect || p.Behind != "/home/ann/.config/gh" {
		t.Errorf("%+v", p)
	}
	if p := c.Tree.At("/home/ann/.config/x"); !p.Write || p.Guard != picture.GuardPin {
		t.Errorf("%+v", p)
	}
	before := len(c.Tree.Parts)
	for _, path := range []string{"/home/ann/none", "/home/ann/src/demo/.git"} { // not there; read-only already
		if err := c.protect(own("test"), path, policy.Pos{}); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.Tree.Parts) != before+1 { // above the second is a pin
		t.Errorf("%+v", c.Tree.Parts[before:])
	}
}

// A device node must be mounted over a file if the task keeps a capability that ignores permissions.
func TestCoverNode(t *testing.T) {
	c := pictured()
	if got := c.coverNode(false); got != "file" {
		t.Error(got)
	}
	c.Keep = capsPastModes
	if got := c.coverNode(false); got != "device" {
		t.Error(got)
	}
	if got := c.coverNode(true); got != "dir" {
		t.Error(got)
	}
}
