package cgroup

// The functions in this file let systemd make the sandbox's cgroup, as a scope.

import (
	"strconv"
	"strings"
)

// preferUnit reports whether systemd should make the sandbox's cgroup. It returns false if systemd, or the user's bus,
// is not available. Otherwise systemd makes the group in three cases:
//
//   - The seat s lacks a needed controller.
//   - The caller is root and would have to enable controllers. systemd manages these groups and may undo that at any
//     time.
//   - systemd itself puts units into the seat's group. When the last unit that needs a controller ends, systemd
//     disables the controller there, and every other group there loses its limits.
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

// holdsUnits reports whether systemd puts its units into a group: a slice, or the root group of a systemd manager
// (systemd.slice(5), user@.service(5)).
func holdsUnits(t *Tree, dir string) bool {
	name := dir[strings.LastIndexByte(dir, '/')+1:]
	return dir == t.Mount || strings.HasSuffix(name, ".slice") || strings.HasPrefix(name, "user@")
}

// unit makes a choice in which systemd makes the group.
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
