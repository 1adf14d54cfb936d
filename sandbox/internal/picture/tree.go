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
	"cordon/sandbox/plan"
)

const (
	AttrRO     = uint64(unix.MOUNT_ATTR_RDONLY)
	AttrBase   = uint64(unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV)
	AttrNoExec = uint64(unix.MOUNT_ATTR_NOEXEC)
)

// ErrMagicLink reports a path that leads through a magic link of /proc, whose text does not tell where the link leads
// (proc_pid_exe(5)).
var ErrMagicLink = errors.New("lies behind a link of /proc, which can lead out of the sandbox")

// Tree is the compiler's model of the sandbox's file tree: which file of the host each path shows, and what the
// launcher has made on its own file systems. cordon creates no files on the host, so the model decides whether the
// target of a mount can exist.
type Tree struct {
	Files host.Files
	Parts []Part         // the mounts in order; a later mount covers earlier ones at its target and below
	Last  map[string]int // index of the last mount at a target

	awaited []Part        // hidden paths that do not exist yet
	Globs   []AwaitedGlob // patterns that hide files which appear in a directory
	Known   map[string]Known
	Links   map[string]string // the texts of the host's symbolic links
}

// Guard says whether a mount hides or protects something. The launcher watches such mounts, because the kernel detaches
// a mount if somebody outside the sandbox renames another file over its mount point.
type Guard uint8

// The values of Guard. Zero means that the mount neither hides nor protects.
const (
	_            Guard = iota
	GuardHide          // it hides a file or directory
	GuardProtect       // it shows the same files read-only
	GuardPin           // it prevents that a directory above another guard is moved
)

// Part is one mount of the modelled tree.
type Part struct {
	Target   string // clean, absolute
	Source   string // the path of the host that it shows; "" for the launcher's own file systems
	Upper    string // for an overlay: the host directory that stores the changes; "" if none does
	File     bool   // the target is a file, not a directory
	Write    bool   // the kernel must confirm that the mount is writable
	Noexec   bool
	Dir      string          // for a read-only directory of the launcher: its name on the scratch file system
	Made     map[string]Node // for file systems of the launcher and overlays: what the launcher has made there, by path
	Layer    bool            // an overlay: writes do not reach Source
	Opaque   bool            // hidden: nothing below it is visible
	Empty    bool            // also Opaque, but readable and empty
	Cwd      bool            // it is the bind of the working directory
	Still    bool            // an overlay over a read-only bind; through it nobody can connect to the host's sockets
	Plain    bool            // not idmapped: there the task has only the rights of its host id
	Absent   bool            // the mount may be missing from the kernel's table
	Fleeting bool            // the target is a socket that may vanish before the mount is made
	Link     string          // the text of a symbolic link that is mounted on itself; otherwise ""
	Text     *string         // the content of a file that the launcher makes in place of the host's; otherwise nil
	Guard    Guard           // why the part exists, if it hides or protects
	Behind   string          // the path of the host that the guard hides or protects; "" without a guard
	What     string          // for messages: "the host's tree"
	Rule     policy.Pos
	FD       plan.Reg // holds a descriptor of the mount; 0 if none does
}

// Node is a file, a directory or a symbolic link that the launcher made.
type Node struct {
	Dir  bool
	Link string
}

// Add adds a mount on top of the existing ones.
func (t *Tree) Add(p Part) {
	if t.Last == nil {
		t.Last = make(map[string]int, 64)
	}
	t.Last[p.Target] = len(t.Parts)
	t.Parts = append(t.Parts, p)
}

// Known is the host's cached answer about a path. The compiler asks about each path only once, so that a compilation
// sees a single state of the host.
type Known struct {
	info fs.FileInfo
	err  error
}

// Lstat describes a path of the host. The host is asked only once for each path.
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

// Absent reports whether the host has been asked about a path and has answered that it does not exist.
func (t *Tree) Absent(host string) bool {
	k, ok := t.Known[host]
	return ok && fail.NotThere(k.err)
}

// ask asks the host about a path, unless it is already known that the path's directory does not exist.
func (t *Tree) ask(host string) (fs.FileInfo, error) {
	above := Known{}
	if host != "" { // "" is the host path of a file that the launcher has made
		dir, _ := paths.Split(host)
		above = t.Known[dir]
	}
	if host == "" || errors.Is(above.err, unix.ENOENT) {
		return nil, &fs.PathError{Op: "lstat", Path: host, Err: unix.ENOENT}
	}
	return t.Files.Lstat(host)
}

// readlink reads a symbolic link of the host, only once.
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

// At returns the mount to which a path belongs: the last mount at the path or above it. It returns nil if the tree has
// no root yet.
func (t *Tree) At(path string) *Part {
	found := t.Index(path)
	if found < 0 {
		return nil
	}
	return &t.Parts[found]
}

// ShowsHost reports whether the sandbox shows a directory of the host other than /proc and /sys.
func (t *Tree) ShowsHost() bool {
	for i := range t.Parts {
		p := &t.Parts[i]
		if p.Source != "" && !p.File && !p.Opaque && !paths.Below(p.Source, "/proc") && !paths.Below(p.Source, "/sys") {
			return true
		}
	}
	return false
}

// HostPath returns the host's path that a path in the sandbox shows, or "" if it shows none.
func (t *Tree) HostPath(path string) string {
	p := t.At(path)
	if p == nil {
		return ""
	}
	return t.behind(p, path)
}

// behind does the same as HostPath for a path that belongs to mount p.
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

// Entry returns the file that the sandbox will show at a path. Resolve must have resolved the path's directories. The
// error is the host's, or ENOENT if nothing exists there.
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
	// A link that the caller may not read is also a magic link.
	if p.What == "proc" && errors.Is(err, fs.ErrPermission) {
		return Node{Link: path}, nil
	}
	return Node{Link: text}, err
}

// Stat returns what the sandbox will show at a path that Resolve has returned: whether it exists, and whether it is a
// directory.
func (t *Tree) Stat(path string) (isDir, exists bool) {
	n, err := t.Entry(path)
	return n.Dir, err == nil
}

// Resolve follows the symbolic links in a path as they are in the sandbox. Its result is only for decisions and
// explanations: in a launch the kernel resolves the path again, with RESOLVE_IN_ROOT. A name that does not exist, or
// that may not be looked up, counts as a name without links.
func (t *Tree) Resolve(path string) (string, error) {
	w := Walker{Tree: t, blind: true}
	return w.Walk(path)
}

// Walker follows a path in the sandbox as the kernel does: path_resolution(7).
type Walker struct {
	Tree  *Tree
	blind bool         // treat names that cannot be looked up as directories
	Visit func(string) // is called with every existing name on the way, including links
	Last  Node         // the file to which the path leads
}

// Walk follows a path and returns where it ends. If a component does not exist or cannot be looked up, it returns the
// path of that component, and the error.
func (w *Walker) Walk(path string) (string, error) {
	done, rest := "", path[1:]
	straight := true // whether path begins with done
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
		if links++; links > 40 { // the kernel's limit: path_resolution(7)
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

// QuietDirs lists directories to which, on any host, only root writes. They contain no sockets of services, so a bind
// of one of them needs no overlay.
var QuietDirs = [...]string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store",
	"/etc", "/boot", "/sys", "/proc", "/dev"}

// layered returns the host's path of a file in an overlay that stores its changes: in the upper directory if the file
// exists there, and otherwise in the lower one. It returns "" if the overlay records the file as removed (whiteout). It
// ignores opaque directories (overlayfs), which hide the content of the lower directory.
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
		return lower // the overlay merges both directories
	}
	return upper
}
