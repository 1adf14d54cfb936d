package compile

// What a profile shows of what a rule hides: hide: [{remove: ~/.ssh/known_hosts}]. The directory is covered by one of
// the launcher's in which only the way to that path exists, and the path is bound there, read-only.

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/plan"
)

// lifted is a thing of the host that is shown although a rule hides a directory above it.
type lifted struct {
	host string
	file bool
	rule policy.Pos
}

// findLifted resolves what the profile shows, and says that it does.
func (c *Compilation) findLifted() {
	for i := range c.Profile.Lifted {
		l := &c.Profile.Lifted[i]
		c.note("hide: " + l.Pattern + " is shown, by " + l.Pos.Short())
		if isGlob(l.Pattern) {
			continue // a rule that is gone
		}
		for _, path := range c.meanings(l.Pattern) {
			w := picture.Walker{Tree: c.hostTree()}
			if end, err := w.Walk(path); err == nil {
				c.lifted = append(c.lifted, lifted{host: end, file: !w.Last.Dir, rule: l.Pos})
			}
		}
	}
}

// liftedBelow lists what is shown below a directory that is about to be covered.
func (c *Compilation) liftedBelow(p *picture.Part) (list []lifted) {
	for _, l := range c.lifted {
		if !p.File && p.Behind != "" && paths.Below(l.host, p.Behind) && l.host != p.Behind {
			list = append(list, l)
		}
	}
	return list
}

// coverAround covers a directory by one in which the ways to some paths exist.
func (c *Compilation) coverAround(from plan.From, p *picture.Part, shown []lifted) {
	name := "shown" + strconv.Itoa(c.scratch.files)
	c.scratch.files++
	scratch := plan.R(plan.Scratch)
	c.do(from, plan.MkdirStep(scratch, name, 0o755))
	for _, l := range shown {
		dir, rest := name, l.host[len(p.Behind)+1:]
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
func (c *Compilation) showLifted(l lifted, target string) {
	from := at("hide", -1, l.rule)
	mnt := c.openSource(from, plan.Tree, l.host, picture.AttrRO|picture.AttrBase|uint64(unix.MOUNT_ATTR_NOEXEC), l.rule.Short())
	c.attach(from, mnt, target, false)
	c.Tree.Add(picture.Part{Target: target, Source: l.host, File: l.file, Noexec: true, What: "a bind of the host's " + l.host,
		Rule: l.rule})
}
