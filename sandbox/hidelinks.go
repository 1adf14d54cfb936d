package sandbox

// Links in a hidden directory, as stow and the like make them: the secret is what they lead to.

import (
	"slices"

	"cordon/policy"
)

// maxNamesInside bounds how many names of the directories that one rule hides are looked at for links.
const maxNamesInside = 2000

// linksIn covers what the links in a hidden directory of the host lead to.
func (h *hider) linksIn(root string) {
	info, err := h.c.tree.lstat(root)
	if err != nil || !info.IsDir() {
		return
	}
	h.deep++
	defer func() { h.deep-- }()
	for queue := []string{root}; len(queue) > 0 && h.deep < 4; queue = queue[1:] {
		list, err := h.c.hostTree().list(queue[0], nil)
		if err != nil {
			continue // the task cannot read it either
		}
		if h.inspected += len(list); h.inspected > maxNamesInside {
			h.notFollowed(root + " holds too many names: what links in it lead to")
			return
		}
		for i := range list {
			switch path := joinPath(queue[0], list[i].name); {
			case list[i].link != "":
				h.linkIn(root, path)
			case list[i].dir:
				queue = append(queue, path)
			}
		}
	}
}

// linkIn covers what one link leads to. What belongs to the system is no secret, if everybody may read it.
func (h *hider) linkIn(root, link string) {
	end, err := h.c.hostTree().resolve(link)
	if err != nil || below(end, root) || h.c.isLifted(end) {
		return
	}
	info, err := h.c.tree.lstat(end)
	if err == nil && info.Mode()&0o004 != 0 && slices.ContainsFunc(quietDirs[:], func(dir string) bool { return below(end, dir) }) {
		return
	}
	holds := func(b bound) bool { return below(b.source, end) }
	if below(root, end) || slices.ContainsFunc(h.c.bound(), holds) {
		h.notFollowed(link + " leads to " + end + ", which is too much to hide: that")
		return
	}
	if err := h.onHost(link, true); err != nil {
		h.notFollowed(link + " (" + err.Error() + "): what it leads to")
	}
}

func (h *hider) notFollowed(why string) {
	h.c.missing = append(h.c.missing, Missing{Layer: policy.LayerHide, Why: why + " can be read where it is shown"})
}

// isLifted reports whether a rule that was taken away shows a thing of the host, or one below it.
func (c *compilation) isLifted(host string) bool {
	return slices.ContainsFunc(c.lifted, func(l lifted) bool { return below(l.host, host) })
}
