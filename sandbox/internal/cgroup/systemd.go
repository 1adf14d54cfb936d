package cgroup

// Transient scopes of systemd, over D-Bus: org.freedesktop.systemd1(5), systemd.scope(5). A scope begins around processes
// that exist, so the child is cloned first, and waits.

import (
	"errors"
	"os"
	"strings"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/systemd"
	"golang.org/x/sys/unix"
)

// config is what the library makes the unit's name of.
func (u *Unit) config(slice string) *cgroups.Cgroup {
	name := strings.TrimSuffix(strings.TrimPrefix(u.Name, prefix), ".scope")
	return &cgroups.Cgroup{Name: name, ScopePrefix: strings.TrimSuffix(prefix, "-"), Parent: slice, Rootless: u.User, Systemd: true,
		Resources: &cgroups.Resources{}}
}

// Adopt lets systemd make a scope around a process, and writes its limits. The process must not have begun to do anything
// that is to be limited.
func (g *Group) Adopt(pid int) error {
	m, err := systemd.NewUnifiedManager(g.Unit.config(g.choice.slice), "")
	if err != nil {
		return &Error{"systemd: " + g.Unit.Name, err, busHint(g.Unit)}
	}
	if err := m.Apply(pid); err != nil {
		return &Error{"systemd: " + g.Unit.Name, err, busHint(g.Unit)}
	}
	t := g.choice.dirs[0]
	g.Dirs = []Dir{{Version: 2, Controllers: t.controllers, Path: m.Path("")}}
	held := map[string]string{}
	for _, s := range t.settings {
		if s.file != "io.max" && s.file != "io.weight" {
			held[s.file] = s.value
		}
	}
	// As properties of the unit, or systemd would write its own values over them when it looks at the unit again.
	if err := m.Set(&cgroups.Resources{Unified: held}); err != nil {
		return &Error{"systemd: " + g.Unit.Name, err, controllers}
	}
	if err := g.hold(g.Dirs[0].Path); err != nil {
		return err
	}
	if err := g.write(&t, 0); err != nil {
		return err
	}
	g.held = []target{t}
	return nil
}

func busHint(u *Unit) string {
	if u.User {
		return "the user's bus is found through DBUS_SESSION_BUS_ADDRESS or XDG_RUNTIME_DIR; Debian: dbus-user-session"
	}
	return "is D-Bus running? limits.cgroup (--cgroup-parent) names a path in the cgroup tree instead"
}

// stop ends the unit. One whose processes are gone has ended by itself; the user's own is left to the user's manager.
func (u *Unit) stop() error {
	if u.User != (os.Getuid() != 0) {
		return nil
	}
	m, err := systemd.NewUnifiedManager(u.config(""), "")
	if err != nil {
		return nil //nolint:nilerr // no bus any more: then systemd has nothing to be told
	}
	if err := m.Destroy(); err != nil && !errors.Is(err, unix.ENOENT) {
		return &Error{"systemd: stop " + u.Name, err, ""}
	}
	return nil
}
