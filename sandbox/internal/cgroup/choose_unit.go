package cgroup

// A scope of systemd's in the place of a group.

import (
	"strconv"
	"strings"
)

// preferUnit reports whether systemd should make the group: where there is no other way; or for root, where one would
// have to change groups that systemd manages, which it changes back when it likes; or in a group in which systemd puts its
// units: there it switches a controller off when the last unit that wants it ends, and with it the limits of whoever else
// has a group there.
func (d *finder) preferUnit(t *Tree, s *seat, need []string) bool {
	complete := s.usable && s.served == len(need)
	if complete && !holdsUnits(t, s.dir) && (d.who.UID != 0 || len(s.enable) == 0) {
		return false
	}
	if _, err := d.f.Stat("/run/systemd/system"); err != nil {
		return false
	}
	if d.who.UID == 0 {
		return true
	}
	_, err := d.f.Stat("/run/user/" + strconv.Itoa(d.who.UID) + "/bus")
	return err == nil
}

// holdsUnits reports whether a group is one in which a manager puts its units: a slice, or the manager's own root
// (systemd.slice(5), user@.service(5)).
func holdsUnits(t *Tree, dir string) bool {
	name := dir[strings.LastIndexByte(dir, '/')+1:]
	return dir == t.Mount || strings.HasSuffix(name, ".slice") || strings.HasPrefix(name, "user@")
}

// unit lets systemd make the group.
func (d *finder) unit(settings []setting, need []string) {
	if _, err := d.f.Stat("/run/systemd/system"); err != nil {
		why, remedy := "systemd does not run here", "leave limits.cgroup (--cgroup-parent) out, or name a path in the cgroup tree"
		for _, s := range settings {
			d.c.lack(s.limit, why, remedy)
		}
		if len(settings) == 0 {
			d.c.lack(d.sole(), why, remedy)
		}
		return
	}
	if strings.HasSuffix(d.at, ".slice") {
		d.c.slice = d.at
	}
	d.c.unit = &Unit{User: d.who.UID != 0}
	d.c.dirs = append(d.c.dirs, target{version: 2, controllers: need, settings: settings})
}
