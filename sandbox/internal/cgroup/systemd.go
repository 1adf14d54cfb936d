package cgroup

// Transient scopes of systemd, over D-Bus: org.freedesktop.systemd1(5), systemd.scope(5). A scope begins around processes
// that exist, so the child is cloned first, and waits.

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"
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
	t := g.choice.dirs[0]
	config := g.Unit.config(g.choice.slice)
	for _, s := range t.settings {
		if n, err := strconv.ParseUint(s.value, 10, 64); s.file == "io.weight" && err == nil {
			config.SystemdProps = append(config.SystemdProps, property("IOWeight", n))
		}
	}
	m, err := systemd.NewUnifiedManager(config, "")
	if err == nil {
		err = m.Apply(pid)
	}
	if err != nil {
		return &Error{"systemd: " + g.Unit.Name, plain(err), busHint(g.Unit)}
	}
	g.Dirs = []Dir{{Version: 2, Controllers: t.controllers, Path: m.Path("")}}
	if err := g.hold(g.Dirs[0].Path); err != nil {
		return err
	}
	if err := g.undelegated(&t); err != nil {
		return err
	}
	held := map[string]string{}
	for _, s := range t.settings {
		if s.file != "io.max" && s.file != "io.weight" {
			held[s.file] = s.value
		}
	}
	// As properties of the unit, or systemd would write its own values over them when it looks at the unit again.
	if err := m.Set(&cgroups.Resources{Unified: held}); err != nil {
		return &Error{"systemd: " + g.Unit.Name, plain(err), controllers}
	}
	if err := g.write(&t, 0); err != nil {
		return err
	}
	g.held = []target{t}
	return nil
}

func property(name string, value any) dbus.Property {
	return dbus.Property{Name: name, Value: godbus.MakeVariant(value)}
}

// undelegated moves the settings of controllers that the manager itself does not have to Lacking.
func (g *Group) undelegated(t *target) error {
	text, err := readAt(g.fds[0], "cgroup.controllers")
	if err != nil {
		return &Error{"read the controllers of " + g.Dirs[0].Path, err, ""}
	}
	have := strings.Fields(text)
	held := t.settings[:0:0]
	for _, s := range t.settings {
		if slices.Contains(have, s.controller) {
			held = append(held, s)
		} else {
			g.Lacking = append(g.Lacking, Lack{s.limit, "the controller " + s.controller + " is not delegated to the user's systemd", controllers})
		}
	}
	t.settings = held
	return nil
}

// plain is what the library's words are about.
func plain(err error) error {
	for strings.HasPrefix(err.Error(), "failed") || strings.HasPrefix(err.Error(), "unable") {
		inner := errors.Unwrap(err)
		if inner == nil {
			break
		}
		err = inner
	}
	return err
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
