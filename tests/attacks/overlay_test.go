package attacks

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// onTree lists the profiles that show the host's tree and can run a shell.
var onTree = []string{"default", "build", "agent"}

func overlayAttacks() []attack {
	return []attack{
		{42, "links planted in an overlay's directory", "launcher", plantedLayer, onTree, shows(followLink)},
		{42, "a task turns its overlay's directory into links, twice", "mount", turnedLayer, onTree, shows(followLink)},
		{42, "another user's directory keeps an overlay's changes", "launcher", foreignLayer, onTree, noControl("it is a check, not an attack")},
		{42, "an overlay that is kept, three launches", "mount", keptThrice, []string{"default", "container"}, noControl("it is a check, not an attack")},
	}
}

// layer is an overlay whose directory stores the changes. The task may write the part of the tree that contains the
// directory.
type layer struct {
	box          *box
	plant, lower string
	out          outside
}

func (b *box) layer() layer {
	l := layer{plant: b.scratch("plant"), lower: b.scratch("lower"), out: b.outside()}
	if err := errors.Join(os.MkdirAll(l.dir(), 0o755), os.Mkdir(l.plant+"/wk", 0o755), give(l.plant, b.who)); err != nil {
		panic(broken("%v", err))
	}
	l.box = b.with("--rw", l.plant, "--mount", "{overlay: "+l.lower+", lower: "+l.lower+", upper: "+l.dir()+"}")
	return l
}

func (l layer) dir() string { return l.plant + "/above/layer" }

// writes reads and writes through the overlay. If it reads a file of the outside, that is an escape.
func (l layer) writes() outcome {
	r := l.box.run("sh", "-c", "cd "+l.lower+" && { cat file; echo x >made; mkdir -p made.d; cat made; }")
	switch {
	case l.out.changed():
		return escaped("the outside was changed: %s", r.err)
	case strings.Contains(r.out, l.box.site.mark):
		return escaped("the outside was read")
	case r.code == 125:
		return blocked("refused: %s", firstLines(r.err, 1))
	case r.code != 0:
		return broken("exit %d: %s%s", r.code, r.out, r.err)
	}
	return blocked("it wrote its own layer")
}

// swaps lists what a task may have done to the layer's directory: names below it become links to the outside. The
// kernel requires upper and work to be on one mount, so the link for work leads to a directory beside that of upper.
var swaps = [][]string{
	{"above/layer"}, {"above"}, {"above/layer/upper"}, {"above/layer/work"}, {"above/layer/upper", "above/layer/work"},
}

// plantedLayer launches with each of these changes, with absolute and with relative links.
func plantedLayer(b *box) outcome {
	for _, names := range swaps {
		for _, relative := range []bool{false, true} {
			l := b.layer()
			for _, name := range names {
				to := l.out.dir
				if strings.HasSuffix(name, "work") {
					to = l.plant + "/wk"
				}
				if err := l.link(name, to, relative); err != nil {
					return broken("%v", err)
				}
			}
			for range 2 {
				if o := l.writes(); o.state != "blocked" {
					return o
				}
			}
		}
	}
	return blocked("refused")
}

func (l layer) link(name, to string, relative bool) error {
	path := filepath.Join(l.plant, name)
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	if relative {
		var err error
		if to, err = filepath.Rel(filepath.Dir(path), to); err != nil {
			return err
		}
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink(to, path)); err != nil {
		return err
	}
	return give(l.plant, l.box.who)
}

// turnedLayer lets a task make these changes in a sandbox with the overlay. The next sandbox must find the layer
// unchanged.
func turnedLayer(b *box) outcome {
	l := b.layer()
	for range 2 {
		var script strings.Builder
		script.WriteString("cd " + l.plant + "; ")
		for _, names := range swaps {
			for _, name := range names {
				script.WriteString("mv " + name + " " + name + ".old; rm -rf " + name + "; ln -s " + l.out.dir + " " + name + "; ")
			}
		}
		script.WriteString("ls -A above/layer; touch above/layer/upper/raw; :")
		r := l.box.run("sh", "-c", script.String())
		if r.code != 0 {
			return broken("exit %d: %s", r.code, r.err)
		}
		for _, name := range []string{"above", "above/layer", "above/layer/upper", "above/layer/work"} {
			if info, err := os.Lstat(filepath.Join(l.plant, name)); err != nil || !info.IsDir() {
				return escaped("the task changed %s: %v %v", name, info, err)
			}
		}
		if exists(l.dir() + "/upper/raw") {
			return escaped("the task wrote the layer beside the overlay")
		}
		if o := l.writes(); o.state != "blocked" {
			return o
		}
	}
	return blocked("the layer stayed as it was")
}

// foreignLayer stores the changes in a directory that another user may fill.
func foreignLayer(b *box) outcome {
	l := b.layer()
	if b.who.uid == 0 {
		if err := os.Chown(l.dir(), ordinary.uid, ordinary.gid); err != nil {
			return broken("%v", err)
		}
	} else if err := os.Chmod(l.dir(), 0o777); err != nil {
		return broken("%v", err)
	}
	r := l.box.run("true")
	if r.code != 125 {
		return escaped("it was started: exit %d %s", r.code, r.err)
	}
	return blocked("refused: %s", firstLines(r.err, 1))
}

// keptThrice launches three times with the same directory. Each launch must find what the earlier launches have
// written.
func keptThrice(b *box) outcome {
	keeps := b.scratch("keeps")
	c := b.with("--overlay", keeps)
	var place string
	if b.onRootfs() {
		place = "/etc"
		root := b.scratch("rootfs")
		c = c.withRootfs(root)
		for _, name := range []string{"hosts", "hostname", "resolv.conf"} { // the launcher makes them in the layer
			if err := os.Remove(root + "/etc/" + name); err != nil {
				return broken("%v", err)
			}
		}
	} else {
		lower := b.scratch("lower")
		place = lower + "/new"
		c = b.with("--mount", "{overlay: "+lower+", lower: "+lower+", upper: "+keeps+"}", "--mount", "{tmpfs: "+lower+"/made/deep}", "--mount", "{dir: "+place+"}")
	}
	for i, want := range []string{"x\n", "x\nx\n", "x\nx\nx\n"} {
		r := c.run("sh", "-c", "echo x >>"+place+"/log; cat "+place+"/log")
		if r.code != 0 || r.out != want {
			return broken("launch %d: exit %d: %q %s", i+1, r.code, r.out, r.err)
		}
	}
	return blocked("it started each time")
}
