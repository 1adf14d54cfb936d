package cgroup

// The functions in this file let systemd make the group, as a scope.

import "strings"

// preferUnit reports whether systemd should make the group. It returns false if systemd, or the user's bus, is not
// there. Otherwise systemd makes the group in three cases:
//
//   - The seat does not serve every needed controller.
//   - The caller is root and would have to switch controllers on. systemd manages these groups and may at any time
//     undo the change.
//   - systemd puts its units into the seat's group. When the last unit that wants a controller ends, systemd switches
//     the controller off there, and every other group there loses its limits.
func (d *finder) preferUnit(t *Tree, s *seat, need []string) bool {
	complete := s.usable && s.served == len(need)
	if complete && !holdsUnits(t, s.dir) && (d.who.UID != 0 || len(s.enable) == 0) {
		return false
	}
	return d.bus()
}

// holdsUnits reports whether systemd puts its units into a group: a slice, or the root group of a systemd manager
// (systemd.slice(5), user@.service(5)).
func holdsUnits(t *Tree, dir string) bool {
	name := dir[strings.LastIndexByte(dir, '/')+1:]
	return dir == t.Mount || strings.HasSuffix(name, ".slice") || strings.HasPrefix(name, "user@")
}

// unit lets systemd make the group.
func (d *finder) unit(settings []setting, need []string) {
	if !d.systemd() {
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
