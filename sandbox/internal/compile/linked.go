package compile

// Binds of what lies behind a symbolic link. A task may have made the link, to have the next sandbox shown what it leads to
// (CVE-2024-42472): so a link is an error. An optional bind of the caller's home is a profile's guess at what is there,
// and people keep such things elsewhere: there a link is followed if no task can have made it.

import (
	"errors"
	"io/fs"

	"cordon/policy"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/ledger"
	"cordon/sandbox/report"
)

// bindSource returns what a bind shows, without a symbolic link in its path, and what that is; "" if it is left out.
func (c *Compilation) bindSource(m *policy.Mount) (string, fs.FileInfo, error) {
	src, err := c.hostSource(m.Source)
	if err != nil {
		return "", nil, c.tolerate(m, err)
	}
	info, err := c.Tree.Lstat(src)
	if err != nil {
		return "", nil, c.tolerate(m, &fail.PathError{Path: src, Err: fail.Bare(err)})
	}
	w := picture.Walker{Tree: c.hostTree()}
	end, err := w.Walk(src)
	if m.Optional && !m.Write && m.Target == "" && m.Source[0] == '.' && info.Mode()&fs.ModeSymlink != 0 {
		c.keepLink(m, src)
		return "", nil, nil
	}
	switch linked := info.Mode()&fs.ModeSymlink != 0; {
	case err == nil && end == src, err != nil && !linked:
		return src, info, nil
	case m.Optional && fail.NotThere(err):
		return "", nil, c.tolerate(m, &fail.PathError{Path: src, Err: fail.Bare(err)})
	case m.Optional && !m.Write && m.Source[0] == '~':
		return c.throughLinks(m, src)
	case err != nil:
		return "", nil, &fail.PathError{Path: src, Err: errors.New("is a symbolic link that leads nowhere: " + fail.Bare(err).Error())}
	}
	return "", nil, &fail.Error{Op: src, Err: errors.New("lies behind a symbolic link, which a task may have made"),
		Hint: "if that is meant bind what it leads to: " + end}
}

// keepLink is for an optional bind of the working directory that is there to protect a name, and the name is a link, which
// an earlier task may have left. Nothing is bound: the link keeps its place, and what it leads to is read-only where the
// task could write it.
func (c *Compilation) keepLink(m *policy.Mount, link string) {
	from, why := own("link"), "it is a symbolic link, which keeps its place"
	n, err := c.Tree.Entry(link)
	end, err2 := c.Tree.Resolve(link)
	if p := c.Tree.At(link); err == nil && n.Link != "" && p.Write && p.Source != "" && p.Target != link {
		c.pinLink(from, link, n.Link)
	}
	exists := false
	if err2 == nil {
		_, exists = c.Tree.Stat(end)
	}
	switch {
	case err2 != nil:
	case !exists:
		why += "; what appears where it leads to counts for whoever follows it"
	case paths.Below(c.Host.Cwd, end) || !c.Tree.At(end).Write:
	default:
		c.protectThing(from, end, m.Pos, true)
		why += ", and leads to " + end + ", which is read-only"
	}
	c.Left = append(c.Left, report.Added{Path: m.Place(), Why: why})
	c.note(m.Source + " is not bound: " + why)
}

// throughLinks follows the links on the way to an optional bind of the home, or leaves the bind out and says why.
func (c *Compilation) throughLinks(m *policy.Mount, src string) (string, fs.FileInfo, error) {
	err := error(errors.New("it lies behind a symbolic link"))
	follower, ok := c.Host.Files.(interface {
		Follow(path string, records []ledger.Place, root bool) (string, error)
	})
	if ok {
		var end string
		if end, err = follower.Follow(src, c.Host.Records, c.Host.UID == 0); err == nil {
			info, err := c.Tree.Lstat(end)
			if c.followed == nil {
				c.followed = make(map[string]string, 4)
			}
			c.followed[src] = end
			return end, info, err
		}
	}
	c.Left = append(c.Left, report.Added{Path: m.Place(), Why: fail.Bare(err).Error()})
	c.note(m.Source + " is left out: " + fail.Bare(err).Error())
	return "", nil, nil
}
