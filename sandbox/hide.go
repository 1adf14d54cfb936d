package sandbox

// Hide rules: an empty file or directory that nobody may open is mounted over what is hidden, so that reading and
// writing fail and nothing silently vanishes.

import (
	"path"
	"strings"

	"cordon/policy"
	"cordon/sandbox/plan"
)

// maxHidden bounds what one profile's globs may match; each match is a mount.
const maxHidden = 10_000

func (c *compilation) hide() error {
	for i := range c.profile.Hide {
		h := &c.profile.Hide[i]
		if err := c.hideRule(i, h); err != nil {
			return &Error{Op: "hide[" + itoa(i) + "] " + h.Pattern, Err: err, From: h.Pos.Short()}
		}
	}
	return nil
}

func (c *compilation) hideRule(i int, h *policy.Hide) error {
	from := at("hide", i, h.Pos)
	if rest, ok := strings.CutPrefix(h.Pattern, "**/"); ok {
		return c.hideBelowBinds(from, rest, h.Pos)
	}
	if strings.HasPrefix(h.Pattern, "~") && c.host.Home == "" {
		return nil
	}
	pattern, err := c.expandTarget(h.Pattern)
	if err != nil {
		return err
	}
	if !strings.ContainsAny(pattern, "*?[") {
		if err := c.hideAliases(from, pattern, h.Pos); err != nil {
			return err
		}
		return c.coverThing(from, pattern, h.Pos, true)
	}
	return c.hideGlob(from, "/", strings.Split(pattern[1:], "/"), h.Pos)
}

// hideBelowBinds applies a pattern at any depth below every bind.
func (c *compilation) hideBelowBinds(from plan.From, pattern string, rule policy.Pos) error {
	names := append([]string{"**"}, strings.Split(pattern, "/")...)
	for i := range c.profile.Mounts {
		m := &c.profile.Mounts[i]
		if m.Kind != policy.MountBind && m.Kind != policy.MountOverlay {
			continue
		}
		dir, err := c.bindTarget(m)
		if err != nil {
			continue // an optional bind that is not there
		}
		if err := c.hideGlob(from, dir, names, rule); err != nil {
			return err
		}
	}
	return nil
}

func (c *compilation) bindTarget(m *policy.Mount) (string, error) {
	if m.Target != "" {
		return c.expandTarget(m.Target)
	}
	return c.expand(m.Source)
}

// hideGlob walks what the sandbox sees. Symbolic links are not followed: what they lead to has a name of its own.
func (c *compilation) hideGlob(from plan.From, dir string, names []string, rule policy.Pos) error {
	if len(names) == 0 {
		return c.coverThing(from, dir, rule, false)
	}
	name, rest := names[0], names[1:]
	if name == "**" {
		if err := c.hideGlob(from, dir, rest, rule); err != nil {
			return err
		}
	}
	host := c.tree.hostPath(dir)
	if host == "" {
		return nil
	}
	entries, err := c.host.Files.ReadDir(host)
	if err != nil {
		return nil //nolint:nilerr // not a directory, or one that the task cannot read either
	}
	for _, e := range entries {
		next := joinPath(dir, e.Name())
		switch {
		case name == "**":
			if e.IsDir() {
				err = c.hideGlob(from, next, names, rule)
			}
		default:
			var ok bool
			if ok, err = path.Match(name, e.Name()); err == nil && ok {
				err = c.hideGlob(from, next, rest, rule)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// hideAliases covers a path of the host at every other place where a bind shows it, or a part of it.
func (c *compilation) hideAliases(from plan.From, host string, rule policy.Pos) error {
	for i := range len(c.tree.parts) { // those that are added here need no cover
		p := &c.tree.parts[i]
		alias := p.target
		switch {
		case p.source == "" || p.opaque || p.source == p.target:
			continue
		case below(host, p.source):
			alias = clean(p.target + "/" + host[len(p.source):])
		case !below(p.source, host):
			continue
		}
		if err := c.coverThing(from, alias, rule, true); err != nil {
			return err
		}
	}
	return nil
}
