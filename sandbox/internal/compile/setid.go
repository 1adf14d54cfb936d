package compile

// Set-user-ID and set-group-ID bits, and file capabilities (capabilities(7)): what a file with them gives to whoever runs
// it. Inside they are ignored, because every mount is nosuid. On the host they count, once the file is in a tree of the
// host that the task may write. So a task may make such files only where nobody but the caller can reach them.

import (
	"errors"
	"slices"
	"strings"

	"cordon/policy"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/report"
)

// bitCapabilities are what a task needs to make such files, or to keep the bits of files that it writes to. Capabilities
// that a task gives to a file count for the root of its user namespace only, so they matter if the host's root starts it.
// A device node counts if the user namespace is the host's.
func (c *Compilation) bitCapabilities() []string {
	names := []string{policy.SetIDCapability}
	if c.Host.HostRoot {
		names = append(names, "SETFCAP")
	}
	if c.Profile.Namespaces.User.Mode == policy.NSHost {
		names = append(names, "MKNOD")
	}
	return names
}

// settleSetID takes these capabilities away unless every tree of the host that the task may write is private. The rules
// about set-id bits follow from that: policy.Profile.Filter. It comes first, because all else reads the profile.
func (c *Compilation) settleSetID() error {
	if c.Into != nil || c.AsItIs() || !slices.ContainsFunc(c.Profile.Capabilities.Keep, c.carriesBits) {
		return nil
	}
	for _, dir := range c.writtenTrees() {
		dir, err := c.hostSource(dir)
		if err != nil {
			return nil //nolint:nilerr // said where the directory is mounted
		}
		if err := c.privateEverywhere(dir); err != nil {
			c.withholdBits(dir, err)
			return nil
		}
		c.Private = append(c.Private, dir)
	}
	return nil
}

// privateEverywhere is Private for each path of the host that leads to a directory or to a part of it: other mounts may show
// the same place of its file system where others can go.
func (c *Compilation) privateEverywhere(dir string) error {
	names, err := c.hostNames(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		err := c.Host.Files.Private(name)
		switch {
		case err == nil:
		case name == dir:
			return err
		default:
			return errors.New("it is mounted at " + name + " too: " + fail.Bare(err).Error())
		}
	}
	return nil
}

func (c *Compilation) carriesBits(k policy.Capability) bool {
	return slices.Contains(c.bitCapabilities(), k.Name)
}

// writtenTrees are the directories of the host that end up with what the task writes.
func (c *Compilation) writtenTrees() (dirs []string) {
	add := func(write bool, dir, layer string) {
		switch {
		case layer == "" && write:
			dirs = append(dirs, dir)
		case layer != "" && layer != "tmp":
			dirs = append(dirs, layer)
		}
	}
	r := &c.Profile.Root
	if add(r.Write, r.Dir, r.Overlay); r.Kind == policy.RootHost && r.Write {
		dirs = append(dirs, "/")
	}
	for i := range c.Profile.Mounts {
		m := &c.Profile.Mounts[i]
		if m.Kind == policy.MountBind || m.Kind == policy.MountOverlay {
			add(m.Write, m.Source, m.Upper)
		}
	}
	return dirs
}

// withholdBits makes the profile one without the capabilities. The calls that would set the bits then have a listener, so
// that directories get them all the same: see setidcall.go.
func (c *Compilation) withholdBits(dir string, why error) {
	p := *c.Profile
	var gone []string
	p.Capabilities.Keep = slices.DeleteFunc(slices.Clone(p.Capabilities.Keep), func(k policy.Capability) bool {
		if !c.carriesBits(k) {
			return false
		}
		gone = append(gone, k.Name)
		return true
	})
	p.Capabilities.Ambient = slices.DeleteFunc(slices.Clone(p.Capabilities.Ambient), c.carriesBits)
	if p.Source("on-denial") == (policy.Pos{}) {
		p.OnDenial = policy.DenialReport
	}
	c.Profile, c.Private = &p, nil
	c.Missing = append(c.Missing, report.Missing{Layer: policy.LayerCaps,
		Why:     strings.Join(gone, ", ") + ": other users could run what the task makes: " + dir + ": " + why.Error(),
		Instead: "files get no set-id bits; put it below a directory of yours with mode 0700"})
}
