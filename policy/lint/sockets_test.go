package lint

import (
	"slices"
	"strings"
	"testing"

	"cordon/policy"
)

// TestExposures checks which sockets each rule of a profile shows, and on which line.
func TestExposures(t *testing.T) {
	for _, c := range []struct{ name, profile, want string }{
		{"nothing", "hostname: x\n", ""},
		{"docker.sock", "mounts: [{bind: /var/run/docker.sock, mode: rw}]\n", "1 mounts[0] Docker's socket"},
		{"read-only does not help", "mounts:\n  - {bind: /run/docker.sock}\n", "2 mounts[0] Docker's socket"},
		{"elsewhere", "mounts: [{bind: /run/docker.sock, target: /x}]\n", "1 mounts[0] Docker's socket"},
		{"containerd", "mounts: [{bind: /run/containerd}]\n", "1 mounts[0] containerd's socket"},
		{"podman", "mounts: [{bind: /run/user/1000/podman}]\n", "1 mounts[0] Podman's socket"},
		{"crio", "mounts: [{bind: /run/crio/}]\n", "1 mounts[0] CRI-O's socket"},
		{"system bus", "mounts: [{bind: /run/dbus}]\n", "1 mounts[0] the D-Bus system bus"},
		{"session bus", "mounts: [{bind: /run/user/1000/bus}]\n", "1 mounts[0] the D-Bus session bus"},
		{"ssh-agent", "mounts: [{bind: /tmp/ssh-XXXX/agent.17}]\n", "1 mounts[0] ssh-agent's socket"},
		{"gpg-agent", "mounts: [{bind: ~/.gnupg}]\n", "1 mounts[0] ssh-agent's socket,1 mounts[0] gpg-agent's socket"},
		{"root's home", "mounts: [{bind: /root/.gnupg/S.gpg-agent}]\n", "1 mounts[0] gpg-agent's socket"},
		{"X11", "mounts: [{bind: /tmp/.X11-unix}]\n", "1 mounts[0] the X11 socket"},
		{"Wayland", "mounts: [{bind: /run/user/1000/wayland-0}]\n", "1 mounts[0] the Wayland socket"},
		{"PipeWire", "mounts: [{bind: /run/user/1000/pipewire-0}]\n", "1 mounts[0] PipeWire's socket"},
		{"PulseAudio", "mounts: [{bind: /run/user/1000/pulse}]\n", "1 mounts[0] PulseAudio's socket"},
		{"a runtime directory of its own", "mounts: [{bind: /xdg/ann/bus}]\n", "1 mounts[0] the D-Bus session bus"},
		{"an overlay", "mounts: [{overlay: /x, lower: /run/dbus}]\n", "1 mounts[0] the D-Bus system bus"},
		{"all of /run/user", "mounts: [{bind: /run/user/1000}]\n", "1 mounts[0] Docker's socket,1 mounts[0] containerd's socket,1 mounts[0] BuildKit's socket,1 mounts[0] Podman's socket," +
			"1 mounts[0] libvirt's socket,1 mounts[0] systemd's private socket,1 mounts[0] the D-Bus session bus,1 mounts[0] ssh-agent's socket,1 mounts[0] gpg-agent's socket," +
			"1 mounts[0] the Wayland socket,1 mounts[0] PipeWire's socket,1 mounts[0] tmux's socket,1 mounts[0] zellij's socket,1 mounts[0] an editor's socket," +
			"1 mounts[0] a terminal's socket,1 mounts[0] PulseAudio's socket"},
		{"a name that only begins like it", "mounts: [{bind: /run/dbusx}, {bind: /run/docker.sock.d}]\n", ""},
		{"a file beside it", "mounts: [{bind: /run/user/1000/doc}]\n", ""},
		{"the working directory", "mounts: [{bind: ., mode: rw}]\n", ""},
		{"covered by a tmpfs", "mounts: [{bind: /run/dbus}, {tmpfs: /run}]\n", ""},
		{"shown again", "mounts: [{tmpfs: /run}, {bind: /run/dbus}]\n", "1 mounts[1] the D-Bus system bus"},
		{"covered where it appears", "mounts: [{bind: /run/dbus, target: /x}, {tmpfs: /x}]\n", ""},
		{"not covered where it appears", "mounts: [{bind: /run/dbus, target: /x}, {tmpfs: /run}]\n", "1 mounts[0] the D-Bus system bus"},
		{"hidden", "mounts: [{bind: /run/dbus, target: /x}]\nhide: [/run/dbus/system_bus_socket]\n", ""},
		{"hidden by a pattern", "mounts: [{bind: /run/dbus}]\nhide: [\"**/system_bus_socket\"]\n", ""},
		{"something else hidden", "mounts: [{bind: /run/dbus}]\nhide: [/run/docker.sock, \"**/bus\"]\n", "1 mounts[0] the D-Bus system bus"},
		{"the host's tree", "root: {host: ro}\nmounts: [{tmpfs: /run}, {tmpfs: /tmp}, {tmpfs: /home}, {tmpfs: /root}]\n", "1 root LXD's socket"},
		{"the host's tree, all of it", "root: {host: ro}\nhide: [/run, /var, /home, \"~\"]\n", "1 root the D-Bus session bus,1 root ssh-agent's socket,1 root the X11 socket,1 root tmux's socket,1 root screen's socket,1 root zellij's socket," +
			"1 root an editor's socket,1 root a terminal's socket,1 root PulseAudio's socket"},
		{"tmux", "mounts: [{bind: /tmp/tmux-1000/default}]\n", "1 mounts[0] tmux's socket"},
		{"the host's network", "network: host\n", ""},
		{"abstract sockets", "network: host\nlandlock: off\n", "1 network the host's abstract sockets"},
		{"abstract sockets by scope", "network: host\nlandlock: {scope: [signal]}\n", "1 network the host's abstract sockets"},
		{"a network of its own", "landlock: off\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, e := range Exposures(read(t, c.profile), "/xdg/ann") {
				_, line, _ := strings.Cut(e.Pos.Short(), ":")
				got = append(got, line+" "+e.Rule+" "+e.Socket)
				if e.Gives == "" || e.Path == "" {
					t.Errorf("%+v does not say what it gives", e)
				}
			}
			if s := strings.Join(got, ","); s != c.want {
				t.Errorf("got  %q\nwant %q", s, c.want)
			}
		})
	}
}

// TestSocketTable checks that a bind of each path in the table shows the socket, and that the table writes paths in the
// form in which they are compared.
func TestSocketTable(t *testing.T) {
	for _, s := range sockets {
		for _, path := range s.paths {
			p := &policy.Profile{Mounts: []policy.Mount{{Kind: policy.MountBind, Source: path}}}
			if !slices.ContainsFunc(Exposures(p, ""), func(e Exposure) bool { return e.Socket == s.name }) {
				t.Errorf("%s: %s is not found", s.name, path)
			}
			if names := hostNames(path, ""); path[0] == '/' && "/"+strings.Join(names, "/") != path {
				t.Errorf("%s: %s is compared as %q", s.name, path, names)
			}
		}
	}
}
