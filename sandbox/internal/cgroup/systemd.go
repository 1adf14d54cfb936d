package cgroup

// The functions in this file make transient scopes of systemd, over D-Bus: org.freedesktop.systemd1(5),
// systemd.scope(5). systemd makes a scope around processes that already exist. So the launcher first clones the
// child, which then waits.

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

// config returns the library's configuration, from which the library builds the unit's name.
func (u *Unit) config(slice string) *cgroups.Cgroup {
	name := strings.TrimSuffix(strings.TrimPrefix(u.Name, prefix), ".scope")
	return &cgroups.Cgroup{Name: name, ScopePrefix: strings.TrimSuffix(prefix, "-"), Parent: slice, Rootless: u.User, Systemd: true,
		Resources: &cgroups.Resources{}}
}

// Adopt lets systemd make a scope around a process, and writes the limits of the scope. So far the process must have
// done nothing that the limits should count.
func (g *Group) Adopt(pid int) error {
	t := g.choice.dirs[0]
	config := g.Unit.config(g.choice.slice)
	config.SystemdProps = append(config.SystemdProps, dbus.PropDescription("a sandbox of cordon")) // the last one counts
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
		return &Error{Op: "systemd: " + g.Unit.Name, Err: plain(err), Hint: busHint(g.Unit)}
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
	// The limits become properties of the unit. Otherwise systemd would overwrite the limits with its own values the
	// next time it updates the unit.
	if err := m.Set(&cgroups.Resources{Unified: held}); err != nil {
		return &Error{Op: "systemd: " + g.Unit.Name, Err: plain(err), Hint: controllers}
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

// undelegated adds a setting to Lacking if the systemd manager itself does not have the setting's controller.
func (g *Group) undelegated(t *target) error {
	text, err := readAt(g.fds[0], "cgroup.controllers")
	if err != nil {
		return &Error{Op: "read the controllers of " + g.Dirs[0].Path, Err: err}
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

// plain returns the error inside an error of the library, without the library's own words ("failed …", "unable …").
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

// stop ends the unit. If the unit has no processes any more, it has already ended without stop. stop does nothing if
// the unit belongs to the user's systemd and the caller is root, or the reverse.
func (u *Unit) stop() error {
	if u.User != (os.Getuid() != 0) {
		return nil
	}
	m, err := systemd.NewUnifiedManager(u.config(""), "")
	if err != nil {
		return nil //nolint:nilerr // there is no bus any more, so nothing can be told to systemd
	}
	if err := m.Destroy(); err != nil && !errors.Is(err, unix.ENOENT) {
		return &Error{Op: "systemd: stop " + u.Name, Err: err}
	}
	return nil
}
