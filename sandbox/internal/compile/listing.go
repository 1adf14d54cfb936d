package compile

import (
	"cordon/policy"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
)

// bound lists what the profile shows by name: binds, overlays, and a root directory. A bind inside another is marked.
func (c *Compilation) bound() []picture.Bound {
	if c.bounds != nil {
		return c.bounds
	}
	list := []picture.Bound{}
	if c.Profile.Root.Kind == policy.RootDir {
		list = append(list, picture.Bound{Target: "/", Source: "/", Here: true})
	}
	for i := range c.Profile.Mounts {
		m := &c.Profile.Mounts[i]
		if m.Kind != policy.MountBind && m.Kind != policy.MountOverlay {
			continue
		}
		target, err := c.bindTarget(m)
		if err == nil {
			target, err = c.Tree.Resolve(target)
		}
		if err != nil {
			continue // an optional bind that is not there
		}
		if _, exists := c.Tree.Stat(target); !exists {
			continue
		}
		source, err := c.hostSource(m.Source)
		if err != nil {
			source = target
		}
		if end, ok := c.followed[source]; ok {
			source = end
		}
		list = append(list, picture.Bound{Target: target, Source: source, Here: source == c.Host.Cwd || source == "/"})
	}
	for i := range list {
		for j := range list {
			if i != j && paths.Below(list[i].Target, list[j].Target) && (list[i].Target != list[j].Target || i > j) {
				list[i].Nested = true
			}
		}
	}
	c.bounds = list
	return list
}
