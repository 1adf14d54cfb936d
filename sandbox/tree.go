package sandbox

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

// errMagicLink is the error of a path that leads through a link of /proc: its text says nothing (proc_pid_exe(5)).
var errMagicLink = errors.New("lies behind a link of /proc, which can lead out of the sandbox")

// A tree is the compiler's picture of what the sandbox will see: which place of the host stands behind a path, and
// what the launcher has made on its own file systems. Nothing is created on the host's tree, so the picture decides
// whether a target can exist.
type tree struct {
	files host.Files
	parts []part         // in the order of mounting: a later one covers earlier ones at and below its target
	last  map[string]int // the last part mounted at a target

	awaited []part        // hidden names that nothing has yet
	globs   []awaitedGlob // and what patterns hide in a directory
	known   map[string]known
	links   map[string]string // the texts of the host's symbolic links
}

// guard says what a part is there for. The launcher watches such parts: the kernel detaches a mount if somebody
// outside renames another file over its mount point.
type guard uint8

// The kinds of guards. The zero value is a part that guards nothing.
const (
	_            guard = iota
	guardHide          // it covers what nobody may see
	guardProtect       // it shows the same thing read-only
	guardPin           // it keeps a directory above one of these in its place
)

// part is one mounted thing.
type part struct {
	target   string // clean, absolute
	source   string // the host's path behind it; "" on a file system of the launcher's own
	upper    string // of an overlay: the host directory that keeps the changes; "" for none
	file     bool   // a file, not a directory
	write    bool   // what the kernel must say of it: rw
	noexec   bool
	dir      string          // of a read-only directory of the launcher's: its name on the scratch file system; else ""
	made     map[string]node // own file systems and overlays: what was made on it, by absolute path; else nil
	layer    bool            // an overlay: what is written does not get to source
	opaque   bool            // hidden: nothing below is visible
	cwd      bool            // the bind of the working directory
	still    bool            // an overlay over a read-only bind: nobody listens at its sockets
	plain    bool            // not idmapped: the task is there whoever it is on the host
	absent   bool            // the kernel may not have it
	fleeting bool            // what it is mounted on may be gone when it is mounted: a socket
	link     string          // the text of a symbolic link that is mounted on itself; else ""
	text     *string         // of a file that the launcher makes in the place of the host's; else nil
	guard    guard           // what the part is there for, if it hides or protects
	behind   string          // the host's path that it guards; "" without a guard
	what     string          // for messages: "the host's tree"
	rule     policy.Pos
}

// node is something that the launcher made: a directory, a symbolic link, or else a file.
type node struct {
	dir  bool
	link string
}

func (t *tree) add(p part) {
	if t.last == nil {
		t.last = make(map[string]int, 64)
	}
	t.last[p.target] = len(t.parts)
	t.parts = append(t.parts, p)
}

// known is the host's answer for a path. It is asked once, so that a compilation sees one state of the tree.
type known struct {
	info fs.FileInfo
	err  error
}

func (t *tree) lstat(host string) (fs.FileInfo, error) {
	k, ok := t.known[host]
	if !ok {
		k.info, k.err = t.ask(host)
		if t.known == nil {
			t.known = make(map[string]known, 128)
		}
		t.known[host] = k
	}
	return k.info, k.err
}

// absent reports whether the host has said already that a path leads to nothing.
func (t *tree) absent(host string) bool {
	k, ok := t.known[host]
	return ok && fail.NotThere(k.err)
}

// ask asks the host, unless it has said already that there is no directory in which the name could be.
func (t *tree) ask(host string) (fs.FileInfo, error) {
	above := known{}
	if host != "" { // the host has nothing behind what the launcher has made
		dir, _ := paths.Split(host)
		above = t.known[dir]
	}
	if host == "" || errors.Is(above.err, unix.ENOENT) {
		return nil, &fs.PathError{Op: "lstat", Path: host, Err: unix.ENOENT}
	}
	return t.files.Lstat(host)
}

// readlink reads a symbolic link of the host, once.
func (t *tree) readlink(host string) (string, error) {
	if text, ok := t.links[host]; ok {
		return text, nil
	}
	text, err := t.files.Readlink(host)
	if err == nil {
		if t.links == nil {
			t.links = map[string]string{}
		}
		t.links[host] = text
	}
	return text, err
}

// at is the part that a path belongs to: of those at and above it the last that was mounted. It is nil before there is
// a root.
func (t *tree) at(path string) *part {
	found := t.index(path)
	if found < 0 {
		return nil
	}
	return &t.parts[found]
}

// showsHost reports whether a directory of the host can be seen, the kernel's own aside.
func (t *tree) showsHost() bool {
	for i := range t.parts {
		p := &t.parts[i]
		if p.source != "" && !p.file && !p.opaque && !paths.Below(p.source, "/proc") && !paths.Below(p.source, "/sys") {
			return true
		}
	}
	return false
}

// hostPath is the place on the host behind a path, "" if there is none.
func (t *tree) hostPath(path string) string {
	p := t.at(path)
	if p == nil {
		return ""
	}
	return t.behind(p, path)
}

// behind is hostPath for a path that belongs to a part.
func (t *tree) behind(p *part, path string) string {
	if p.source == "" || p.opaque {
		return ""
	}
	if p.upper == "" {
		return paths.Moved(path, p.target, p.source)
	}
	rest := strings.TrimPrefix(path[len(p.target):], "/")
	if rest == "" {
		return p.source
	}
	return t.layered(p, rest)
}

// entry returns what the sandbox will see at a path whose directories resolve returned. The error is the host's, or
// ENOENT if nothing is there.
func (t *tree) entry(path string) (node, error) {
	p := t.at(path)
	if p == nil || p.opaque && path != p.target {
		return node{}, unix.ENOENT
	}
	if path == p.target {
		return node{dir: !p.file, link: p.link}, nil
	}
	if n, ok := p.made[path]; ok {
		return n, nil
	}
	if p.source == "" {
		return node{}, unix.ENOENT
	}
	host := t.behind(p, path)
	if host == "" {
		return node{}, unix.ENOENT
	}
	info, err := t.lstat(host)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return node{dir: err == nil && info.IsDir()}, err
	}
	text, err := t.readlink(host)
	if p.what == "proc" && errors.Is(err, fs.ErrPermission) { // a magic link that the caller may not follow is one all the same
		return node{link: path}, nil
	}
	return node{link: text}, err
}

// stat says what the sandbox will see at a path that resolve returned: the kind, and whether it exists.
func (t *tree) stat(path string) (isDir, exists bool) {
	n, err := t.entry(path)
	return n.dir, err == nil
}

// resolve follows the symbolic links of a path as they are inside. It serves to decide and to explain; the kernel
// resolves again, with RESOLVE_IN_ROOT, when it counts. What does not exist, or cannot be looked at, has no links.
func (t *tree) resolve(path string) (string, error) {
	w := walker{tree: t, blind: true}
	return w.walk(path)
}

// A walker follows a path of a picture as the kernel does: path_resolution(7).
type walker struct {
	tree  *tree
	blind bool         // names that cannot be looked at are taken for directories
	visit func(string) // is called with every name on the way that is there, links among them
	last  node         // what the path leads to
}

// walk returns the place where a path ends. If a name on the way is not there or cannot be looked at, walk returns the
// path of that name, and the error.
func (w *walker) walk(path string) (string, error) {
	done, rest := "", path[1:]
	straight := true // path begins with what is done
	w.last = node{dir: true}
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
			w.last = node{dir: true}
			continue
		}
		var next string
		if straight {
			next = path[:len(done)+1+len(name)]
		} else {
			next = done + "/" + name
		}
		n, err := w.tree.entry(next)
		if err != nil && !w.blind {
			return next, err
		}
		if err == nil && w.visit != nil {
			w.visit(next)
		}
		if n.link == "" {
			done, w.last = next, n
			continue
		}
		if p := w.tree.at(next); p.what == "proc" {
			return "", &fs.PathError{Op: "resolve", Path: path, Err: errMagicLink}
		}
		if links++; links > 40 { // as the kernel: path_resolution(7)
			return "", &fs.PathError{Op: "resolve", Path: path, Err: errors.New("too many symbolic links")}
		}
		if strings.HasPrefix(n.link, "/") {
			done = ""
		}
		straight, rest = false, n.link+"/"+rest
	}
	if done == "" {
		done = "/"
	}
	return done, nil
}

// through is walk, and lists the names on the way that are there, links among them.
func (w *walker) through(path string) (end string, passed []string, err error) {
	w.visit = func(p string) { passed = append(passed, p) }
	end, err = w.walk(path)
	return end, passed, err
}

// quietDirs belong to root alone on any host. A bind of one shows no socket, and is left as it is.
var quietDirs = [...]string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store", "/etc", "/boot", "/sys", "/proc", "/dev"}
