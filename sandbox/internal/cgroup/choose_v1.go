package cgroup

// The functions in this file choose groups in the trees of cgroup version 1: cgroups(7).

import (
	"strings"

	"golang.org/x/sys/unix"
)

// v1 finds parents in the v1 trees: the caller's own groups, or the named group. It chooses a group in each tree that
// has a setting, and in each tree for which helpful returns true.
func (d *finder) v1(settings []setting) {
	if d.l.Kind() == "v2" || len(settings) == 0 && (d.at == "" || len(d.c.dirs) > 0 && !d.c.devices) {
		return
	}
	if d.at == atSystemd || d.at != "" && d.at[0] != '/' && d.at != atAuto {
		for _, s := range settings {
			d.c.lack(s.limit, "scopes of systemd need cgroup v2", "leave limits.cgroup (--cgroup-parent) out, or "+boot2)
		}
		return
	}
	for i := range d.l.Trees {
		t := &d.l.Trees[i]
		if t.Version != 1 {
			continue
		}
		var mine []setting
		for _, s := range settings {
			if d.l.tree(s.controller) == t {
				mine = append(mine, s)
			}
		}
		if len(mine) > 0 || d.helpful(t) {
			d.tree1(t, mine)
		}
	}
}

// helpful reports whether a v1 tree gets a group although no limit needs it. There are three cases: the tree can
// freeze; it can filter devices, and that is wanted; or it counts, and the profile chooses where the groups lie.
func (d *finder) helpful(t *Tree) bool {
	for _, c := range t.Controllers {
		switch c {
		case "freezer":
			return true
		case "devices":
			return d.c.devices
		case "memory", "pids", "cpuacct", "blkio":
			return d.at != ""
		}
	}
	return false
}

func (d *finder) tree1(t *Tree, settings []setting) {
	parent := t.Own
	if d.at != "" && d.at != atAuto {
		parent = strings.TrimSuffix(t.Mount+d.at, "/")
	}
	why, remedy := "", ""
	if parent == "" {
		why, remedy = "the launcher's own group is outside of "+t.Mount, "name one: limits.cgroup (--cgroup-parent)"
	} else if _, err := d.f.Stat(parent + "/cgroup.procs"); err != nil {
		if why, remedy = noGroup(parent); d.named() != "" && len(settings) > 0 {
			d.wrongPath(why, remedy)
		}
	} else if err := d.writable(parent); err == unix.EROFS {
		why, remedy = parent+" is read-only", "mount it read-write; containers are given that by their engine"
	} else if err != nil && d.who.UID != 0 {
		why, remedy = parent+" is not writable: cgroup v1 is not delegated to users", "start cordon as root, or "+boot2
	} else if err != nil {
		why, remedy = parent+" is not writable: "+err.Error(), "name a group that is: limits.cgroup (--cgroup-parent)"
	}
	if why != "" {
		for _, s := range settings {
			d.c.lack(s.limit, why, remedy)
		}
		return
	}
	d.c.dirs = append(d.c.dirs, target{version: 1, parent: parent, controllers: t.Controllers, settings: settings})
}
