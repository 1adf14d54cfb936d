package cgroup

// The functions in this file let systemd make the sandbox's cgroup, as a scope.

import (
	"strconv"
	"strings"
)

// preferUnit reports whether systemd should make the sandbox's cgroup. It returns false if systemd, or the user's bus,
// is not available. Otherwise systemd makes the group in three cases:
//
//   - The seat s lacks a needed controller. (A seat is a group in which the sandbox's group could be made.)
//   - The caller is root and would have to enable controllers. systemd manages these groups and may disable the
//     controllers again at any time.
//   - systemd itself puts units into the seat's group. When the last unit that needs a controller ends, systemd
//     disables the controller there, and every other group there loses its limits.
func (d *finder) preferUnit(t *Tree, s *seat, need []string) bool {
	complete := s.usable && s.served == len(need)
	if complete && !holdsUnits(t, s.dir) && (d.who.UID != 0 || len(s.enable) == 0) {
		return false
	}
	return d.bus()
}

// ownUnit returns a seat in the unit that the launcher runs in, if systemd has delegated that unit and the seat has all
// needed controllers. This seat is preferred to any other, because it needs no bus, and the sandbox stays in the unit,
// with the unit's limits.
func (d *finder) ownUnit(t *Tree, need []string) (best seat, ok bool) {
	if d.at != "" && d.at != atAuto {
		return seat{}, false
	}
	for _, dir := range d.parents(t) {
		if s := d.try(t, dir, need); s.better(&best) {
			best = s
		}
		if d.delegated(dir) {
			return best, best.usable && best.served == len(need)
		}
	}
	return seat{}, false
}

// delegated reports whether systemd has left a group to the unit that runs in it (Delegate=yes). systemd marks such a
// group with an attribute: user.delegate, or trusted.delegate before version 251.
func (d *finder) delegated(dir string) bool {
	f, ok := d.f.(interface {
		Xattr(path, name string) string
	})
	return ok && (f.Xattr(dir, "user.delegate") == "1" || f.Xattr(dir, "trusted.delegate") == "1")
}

// holdsUnits reports whether systemd puts its units into a group: a slice, or the root group of a systemd manager
// (systemd.slice(5), user@.service(5)).
func holdsUnits(t *Tree, dir string) bool {
	name := dir[strings.LastIndexByte(dir, '/')+1:]
	return dir == t.Mount || strings.HasSuffix(name, ".slice") || strings.HasPrefix(name, "user@")
}

// unit takes the choice that systemd makes the group.
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

// A remedy names a command of systemd only if systemd runs, and the user's manager only if the user has a bus.
const (
	namedGroup = "name a group that this user owns: limits.cgroup (--cgroup-parent)"
	ownGroup   = "let root make a group and give it to this user: cgroups(7), \"Cgroups v2 delegation\"; then start cordon in it, and " + namedGroup
)

// systemd reports whether systemd manages this machine: sd_booted(3).
func (d *finder) systemd() bool {
	_, err := d.f.Stat("/run/systemd/system")
	return err == nil
}

// bus reports whether the caller can ask a systemd manager for a scope.
func (d *finder) bus() bool {
	if d.who.UID == 0 || !d.systemd() {
		return d.systemd()
	}
	_, err := d.f.Stat("/run/user/" + strconv.Itoa(d.who.UID) + "/bus")
	return err == nil
}

// delegate returns the remedy if no group is delegated to the caller.
func (d *finder) delegate() string {
	switch {
	case d.who.UID == 0 && d.systemd():
		return "systemd-run --scope -p Delegate=yes cordon run …; or name a group: limits.cgroup (--cgroup-parent)"
	case d.who.UID == 0:
		return "name a group in which there are no processes: limits.cgroup (--cgroup-parent)"
	case d.bus():
		return "systemd-run --user --scope -p Delegate=yes cordon run …; or " + namedGroup
	case d.systemd():
		return "log in through a session of systemd's, with a bus of the user's (Debian: dbus-user-session), or run cordon in a unit with Delegate=yes; or " + namedGroup
	}
	return ownGroup
}

// undelegated returns the remedy if a group lacks a controller.
func (d *finder) undelegated(dir string) string {
	if d.systemd() && d.who.UID != 0 {
		return controllers
	}
	return "let root write the controller to cgroup.subtree_control of every group above " + dir
}
