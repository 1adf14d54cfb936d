package compile

// Other names of hidden files: link(2). A mount covers a name; the inode stays readable under its others.

import (
	"strconv"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/plan"
	"cordon/sandbox/report"
)

// MaxLookedAt bounds how many files are looked at for the other names of hidden files.
const MaxLookedAt = 300_000

type fileID struct{ dev, ino uint64 }

// several is a hidden file with more than one name.
type several struct {
	path  string // one of them
	names uint64
	found map[string]bool // the host's paths that have been found
	from  plan.From
	rule  policy.Pos
}

// identify returns a file's identity and how many names it has; 0 for a directory, and for what is not known.
func (c *Compilation) identify(hostPath string) (id fileID, names uint64) {
	info, err := c.Tree.Lstat(hostPath)
	if err != nil || info.IsDir() {
		return id, 0
	}
	st, ok := host.StatOf(info)
	if !ok {
		return id, 0
	}
	return fileID{uint64(st.Dev), st.Ino}, uint64(st.Nlink) //nolint:unconvert // their widths differ by architecture
}

// countNames remembers a hidden file of the host that has more than one name.
func (h *hider) countNames(host string) {
	id, names := h.c.identify(host)
	if names < 2 {
		return
	}
	if h.several == nil {
		h.several = map[fileID]*several{}
	}
	if h.several[id] == nil {
		h.several[id] = &several{path: host, names: names, found: map[string]bool{}, from: h.from, rule: h.rule}
	}
	h.several[id].found[host] = true
}

// hardLinks covers the other names of hidden files in what is bound or writable. What is left is reported as missing,
// if the sandbox shows more of the host than that.
func (h *hider) hardLinks() error {
	if h.several == nil {
		return nil
	}
	w := linkFinder{h: h, extra: h.c.Tree.Extras(), left: MaxLookedAt}
	for _, b := range h.c.bound() {
		if !b.Nested {
			w.dir(b.Target)
		}
	}
	for _, found := range w.found {
		h.from, h.rule = found.of.from, found.of.rule
		if err := h.c.coverThing(h.from, found.path, h.rule, false); err != nil {
			return &fail.Error{Op: "hide " + found.path, Err: err, From: h.rule.Short()}
		}
	}
	for _, s := range h.several {
		if more := s.names - min(s.names, uint64(len(s.found))); more > 0 && h.c.Tree.ShowsHost() {
			h.c.Missing = append(h.c.Missing, report.Missing{Layer: policy.LayerHide,
				Why: s.path + " has hard links that were not found in what is bound (" + strconv.FormatUint(more, 10) +
					"): under such a name it can be read"})
		}
	}
	return nil
}

// linkFinder looks for inodes in the picture.
type linkFinder struct {
	h     *hider
	extra picture.Extras
	left  int
	found []foundLink
}

type foundLink struct {
	of   *several
	path string
}

func (w *linkFinder) dir(dir string) {
	t := &w.h.c.Tree
	p := t.At(dir)
	if p == nil || p.Opaque || paths.Below(p.Source, "/proc") || paths.Below(p.Source, "/sys") || len(dir) > maxPath {
		return
	}
	entries, err := t.List(dir, w.extra)
	if err != nil {
		w.file(dir)
		return
	}
	for i := range entries {
		next := paths.Join(dir, entries[i].Name)
		if entries[i].Dir {
			w.dir(next)
		} else if w.left > 0 {
			w.left--
			w.file(next)
		}
	}
}

func (w *linkFinder) file(path string) {
	host := w.h.c.Tree.HostPath(path)
	if host == "" {
		return
	}
	id, _ := w.h.c.identify(host)
	if s := w.h.several[id]; s != nil {
		s.found[host] = true
		w.found = append(w.found, foundLink{s, path})
	}
}
