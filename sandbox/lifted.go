package sandbox

// What a profile shows of what a rule hides: hide: [{remove: ~/.ssh/known_hosts}]. The directory is covered by one of
// the launcher's in which only the way to that path exists, and the path is bound there, read-only.

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/plan"
)

// lifted is a thing of the host that is shown although a rule hides a directory above it.
type lifted struct {
	host string
	file bool
	rule policy.Pos
}

// findLifted resolves what the profile shows, and says that it does.
func (c *compilation) findLifted() {
	for i := range c.profile.Lifted {
		l := &c.profile.Lifted[i]
		c.note("hide: " + l.Pattern + " is shown, by " + l.Pos.Short())
		if isGlob(l.Pattern) {
			continue // a rule that is gone
		}
		for _, path := range c.meanings(l.Pattern) {
			w := walker{tree: c.hostTree()}
			if end, err := w.walk(path); err == nil {
				c.lifted = append(c.lifted, lifted{host: end, file: !w.last.dir, rule: l.Pos})
			}
		}
	}
}

// liftedBelow lists what is shown below a directory that is about to be covered.
func (c *compilation) liftedBelow(p *part) (list []lifted) {
	for _, l := range c.lifted {
		if !p.file && p.behind != "" && paths.Below(l.host, p.behind) && l.host != p.behind {
			list = append(list, l)
		}
	}
	return list
}

// coverAround covers a directory by one in which the ways to some paths exist.
func (c *compilation) coverAround(from plan.From, p *part, shown []lifted) {
	name := "shown" + strconv.Itoa(c.scratch.files)
	c.scratch.files++
	scratch := plan.R(plan.Scratch)
	c.do(from, plan.MkdirStep(scratch, name, 0o755))
	for _, l := range shown {
		dir, rest := name, l.host[len(p.behind)+1:]
		for more := true; more; {
			var next string
			next, rest, more = strings.Cut(rest, "/")
			dir += "/" + next
			if more || !l.file {
				c.do(from, plan.MkdirStep(scratch, dir, 0o755).OrElse(plan.EEXIST))
			} else {
				c.do(from, plan.MkfileStep(scratch, dir, 0o444).OrElse(plan.EEXIST))
			}
		}
	}
	c.mountFromScratch(from, name, p)
}

// showLifted binds a thing at its path inside.
func (c *compilation) showLifted(l lifted, target string) {
	from := at("hide", -1, l.rule)
	mnt := c.openSource(from, plan.Tree, l.host, attrRO|attrBase|uint64(unix.MOUNT_ATTR_NOEXEC), l.rule.Short())
	c.attach(from, mnt, target, false)
	c.tree.add(part{target: target, source: l.host, file: l.file, noexec: true, what: "a bind of the host's " + l.host,
		rule: l.rule})
}
