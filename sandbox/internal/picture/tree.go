package picture

import (
	"errors"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
)

const (
	AttrRO     = uint64(unix.MOUNT_ATTR_RDONLY)
	AttrBase   = uint64(unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV)
	AttrNoExec = uint64(unix.MOUNT_ATTR_NOEXEC)
)

// ErrMagicLink is the error of a path that leads through a link of /proc: its text says nothing (proc_pid_exe(5)).
var ErrMagicLink = errors.New("lies behind a link of /proc, which can lead out of the sandbox")

// Tree is the compiler's model of what the sandbox will see: which place of the host a path shows, and what the
// launcher has made on its own file systems. Nothing is created in the host's tree, so the model decides whether a
// target can exist.
type Tree struct {
	Files host.Files
	Parts []Part         // in the order of mounting: a later one covers earlier ones at and below its target
	Last  map[string]int // the last part mounted at a target

	awaited []Part        // hidden names that nothing has yet
	Globs   []AwaitedGlob // and what patterns hide in a directory
	Known   map[string]Known
	Links   map[string]string // the texts of the host's symbolic links
}

// Guard says why a part exists. The launcher watches such parts, because the kernel detaches a mount if somebody
// outside renames another file over its mount point.
type Guard uint8

// The kinds of guards. The zero value is a part that guards nothing.
const (
	_            Guard = iota
	GuardHide          // it covers what nobody may see
	GuardProtect       // it shows the same thing read-only
	GuardPin           // it keeps a directory above one of these in its place
)

// Part is one mounted thing.
type Part struct {
	Target   string // clean, absolute
	Source   string // the host's path behind it; "" on a file system of the launcher's own
	Upper    string // of an overlay: the host directory that keeps the changes; "" for none
	File     bool   // a file, not a directory
	Write    bool   // what the kernel must say of it: rw
	Noexec   bool
	Dir      string          // of a read-only directory of the launcher's: its name on the scratch file system; else ""
	Made     map[string]Node // own file systems and overlays: what was made on it, by absolute path; else nil
	Layer    bool            // an overlay: what is written does not get to source
	Opaque   bool            // hidden: nothing below is visible
	Empty    bool            // and it can be opened, and is empty
	Cwd      bool            // the bind of the working directory
	Still    bool            // an overlay over a read-only bind: nobody listens at its sockets
	Plain    bool            // not idmapped: the task is there whoever it is on the host
	Absent   bool            // the kernel may not have it
	Fleeting bool            // what it is mounted on may be gone when it is mounted: a socket
	Link     string          // the text of a symbolic link that is mounted on itself; else ""
	Text     *string         // of a file that the launcher makes in the place of the host's; else nil
	Guard    Guard           // what the part is there for, if it hides or protects
	Behind   string          // the host's path that it guards; "" without a guard
	What     string          // for messages: "the host's tree"
	Rule     policy.Pos
}

// Node is a file, a directory or a symbolic link that the launcher made.
type Node struct {
	Dir  bool
	Link string
}

// Add mounts a part over the existing content.
func (t *Tree) Add(p Part) {
	if t.Last == nil {
		t.Last = make(map[string]int, 64)
	}
	t.Last[p.Target] = len(t.Parts)
	t.Parts = append(t.Parts, p)
}

// Known is the host's answer for a path. It is asked once, so that a compilation sees one state of the tree.
type Known struct {
	info fs.FileInfo
	err  error
}

// Lstat looks at a path of the host, once.
func (t *Tree) Lstat(host string) (fs.FileInfo, error) {
	k, ok := t.Known[host]
	if !ok {
		k.info, k.err = t.ask(host)
		if t.Known == nil {
			t.Known = make(map[string]Known, 128)
		}
		t.Known[host] = k
	}
	return k.info, k.err
}

// Absent reports whether the host has said already that a path leads to nothing.
func (t *Tree) Absent(host string) bool {
	k, ok := t.Known[host]
	return ok && fail.NotThere(k.err)
}

// ask asks the host, unless it has said already that there is no directory in which the name could be.
func (t *Tree) ask(host string) (fs.FileInfo, error) {
	above := Known{}
	if host != "" { // the host has nothing behind what the launcher has made
		dir, _ := paths.Split(host)
		above = t.Known[dir]
	}
	if host == "" || errors.Is(above.err, unix.ENOENT) {
		return nil, &fs.PathError{Op: "lstat", Path: host, Err: unix.ENOENT}
	}
	return t.Files.Lstat(host)
}

// readlink reads a symbolic link of the host, once.
func (t *Tree) readlink(host string) (string, error) {
	if text, ok := t.Links[host]; ok {
		return text, nil
	}
	text, err := t.Files.Readlink(host)
	if err == nil {
		if t.Links == nil {
			t.Links = map[string]string{}
		}
		t.Links[host] = text
	}
	return text, err
}

// At returns the part that a path belongs to: the last one mounted at the path or above it. It returns nil before there
// is a root.
func (t *Tree) At(path string) *Part {
	found := t.Index(path)
	if found < 0 {
		return nil
	}
	return &t.Parts[found]
}

// ShowsHost reports whether a directory of the host can be seen, the kernel's own aside.
func (t *Tree) ShowsHost() bool {
	for i := range t.Parts {
		p := &t.Parts[i]
		if p.Source != "" && !p.File && !p.Opaque && !paths.Below(p.Source, "/proc") && !paths.Below(p.Source, "/sys") {
			return true
		}
	}
	return false
}

// HostPath returns the place on the host that a path shows, or "" if it shows none.
func (t *Tree) HostPath(path string) string {
	p := t.At(path)
	if p == nil {
		return ""
	}
	return t.behind(p, path)
}

// behind is hostPath for a path that belongs to a part.
func (t *Tree) behind(p *Part, path string) string {
	if p.Source == "" || p.Opaque {
		return ""
	}
	if p.Upper == "" {
		return paths.Moved(path, p.Target, p.Source)
	}
	rest := strings.TrimPrefix(path[len(p.Target):], "/")
	if rest == "" {
		return p.Source
	}
	return t.layered(p, rest)
}

// Entry returns what the sandbox will see at a path whose directories resolve returned. The error is the host's, or
// ENOENT if nothing exists there.
func (t *Tree) Entry(path string) (Node, error) {
	p := t.At(path)
	if p == nil || p.Opaque && path != p.Target {
		return Node{}, unix.ENOENT
	}
	if path == p.Target {
		return Node{Dir: !p.File, Link: p.Link}, nil
	}
	if n, ok := p.Made[path]; ok {
		return n, nil
	}
	if p.Source == "" {
		return Node{}, unix.ENOENT
	}
	host := t.behind(p, path)
	if host == "" {
		return Node{}, unix.ENOENT
	}
	info, err := t.Lstat(host)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return Node{Dir: err == nil && info.IsDir()}, err
	}
	text, err := t.readlink(host)
	// a magic link that the caller may not follow is one all the same
	if p.What == "proc" && errors.Is(err, fs.ErrPermission) {
		return Node{Link: path}, nil
	}
	return Node{Link: text}, err
}

// Stat says what the sandbox will see at a path that resolve returned: the kind, and whether it exists.
func (t *Tree) Stat(path string) (isDir, exists bool) {
	n, err := t.Entry(path)
	return n.Dir, err == nil
}

// Resolve follows the symbolic links of a path as they are inside. It serves to decide and to explain; the kernel
// resolves again, with RESOLVE_IN_ROOT, when it counts. What does not exist, or cannot be looked at, has no links.
func (t *Tree) Resolve(path string) (string, error) {
	w := Walker{Tree: t, blind: true}
	return w.Walk(path)
}

// Walker follows a path of a picture as the kernel does: path_resolution(7).
type Walker struct {
	Tree  *Tree
	blind bool         // names that cannot be looked at are taken for directories
	Visit func(string) // is called with every name on the way that is there, links among them
	Last  Node         // what the path leads to
}

// Walk returns the place at which a path ends. If a name on the way does not exist or cannot be looked up, Walk returns
// the path of that name and the error.
func (w *Walker) Walk(path string) (string, error) {
	done, rest := "", path[1:]
	straight := true // path begins with what is done
	w.Last = Node{Dir: true}
	for links := 0; rest != ""; {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		switch name {
		case "", ".":
			straight = false
			continue
		case "..":
			straight = false
			done = done[:max(0, strings.LastIndexByte(done, '/'))]
			w.Last = Node{Dir: true}
			continue
		}
		var next string
		if straight {
			next = path[:len(done)+1+len(name)]
		} else {
			next = done + "/" + name
		}
		n, err := w.Tree.Entry(next)
		if err != nil && !w.blind {
			return next, err
		}
		if err == nil && w.Visit != nil {
			w.Visit(next)
		}
		if n.Link == "" {
			done, w.Last = next, n
			continue
		}
		if p := w.Tree.At(next); p.What == "proc" {
			return "", &fs.PathError{Op: "resolve", Path: path, Err: ErrMagicLink}
		}
		if links++; links > 40 { // as the kernel: path_resolution(7)
			return "", &fs.PathError{Op: "resolve", Path: path, Err: errors.New("too many symbolic links")}
		}
		if strings.HasPrefix(n.Link, "/") {
			done = ""
		}
		straight, rest = false, n.Link+"/"+rest
	}
	if done == "" {
		done = "/"
	}
	return done, nil
}

// Through does the same as Walk, and also lists the existing names on the way, including links.
func (w *Walker) Through(path string) (end string, passed []string, err error) {
	w.Visit = func(p string) { passed = append(passed, p) }
	end, err = w.Walk(path)
	return end, passed, err
}

// QuietDirs belong to root alone on any host. A bind of one shows no socket, and is left as it is.
var QuietDirs = [...]string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store",
	"/etc", "/boot", "/sys", "/proc", "/dev"}

// layered is the place on the host behind a path of an overlay that keeps its changes: in the upper directory where
// something is there, otherwise in the lower. It is "" where a whiteout says that the path is gone. What an opaque
// directory (overlayfs) leaves of the lower one is not looked at.
func (t *Tree) layered(p *Part, rest string) string {
	upper, lower := p.Upper, p.Source
	for more := true; more; {
		var name string
		name, rest, more = strings.Cut(rest, "/")
		upper, lower = paths.Join(upper, name), paths.Join(lower, name)
		info, err := t.Lstat(upper)
		switch {
		case err != nil && more:
			return paths.Join(lower, rest)
		case err != nil:
			return lower
		case info.Mode()&fs.ModeCharDevice != 0:
			return ""
		case info.IsDir():
		case more:
			return ""
		default:
			return upper
		}
	}
	if info, err := t.Lstat(lower); err == nil && info.IsDir() {
		return lower // both are shown as one
	}
	return upper
}
