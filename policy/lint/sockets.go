package lint

import (
	"path"
	"slices"
	"strings"

	"cordon/policy"
)

// sockets lists sockets of the host through which a program can do more than the sandbox allows. A read-only mount
// does not protect them, because connect(2) does not count as writing. In a path "~" means every user's home, and *
// stands for one name.
var sockets = [...]struct {
	name, gives string
	paths       []string
}{
	{"Docker's socket", "root on the host", []string{"/run/docker.sock", "/run/user/*/docker.sock", "~/.docker/run/docker.sock", "~/.docker/desktop/docker.sock"}},
	{"containerd's socket", "root on the host", []string{"/run/containerd/containerd.sock", "/run/k3s/containerd/containerd.sock", "/run/user/*/containerd/containerd.sock"}},
	{"BuildKit's socket", "programs outside of the sandbox", []string{"/run/buildkit/buildkitd.sock", "/run/user/*/buildkit/buildkitd.sock"}},
	{"Podman's socket", "programs outside of the sandbox as the user, or as root", []string{"/run/podman/podman.sock", "/run/user/*/podman/podman.sock"}},
	{"CRI-O's socket", "root on the host", []string{"/run/crio/crio.sock"}},
	{"LXD's socket", "root on the host", []string{"/var/lib/lxd/unix.socket", "/var/snap/lxd/common/lxd/unix.socket", "/var/lib/incus/unix.socket"}},
	{"libvirt's socket", "root on the host", []string{"/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock", "/run/user/*/libvirt/libvirt-sock"}},
	{"systemd's private socket", "programs outside of the sandbox", []string{"/run/systemd/private", "/run/user/*/systemd/private"}},
	{"the D-Bus system bus", "every service of the host that trusts the user", []string{"/run/dbus/system_bus_socket"}},
	{"the D-Bus session bus", "programs outside of the sandbox, the keyring and the desktop", []string{"/run/user/*/bus", "/run/user/*/at-spi/bus*", "/tmp/dbus-*"}},
	{"ssh-agent's socket", "logging in wherever the user's keys do", []string{"/run/user/*/keyring/ssh", "/run/user/*/keyring/.ssh", "/run/user/*/openssh_agent", "/run/user/*/ssh-agent.socket",
		"/run/user/*/gnupg/S.gpg-agent.ssh", "/run/user/*/gcr/ssh", "/tmp/ssh-*/agent.*", "~/.ssh/agent/*", "~/.gnupg/S.gpg-agent.ssh"}},
	{"gpg-agent's socket", "signing and decrypting with the user's keys", []string{"/run/user/*/gnupg/S.gpg-agent", "/run/user/*/gnupg/S.gpg-agent.extra", "~/.gnupg/S.gpg-agent", "~/.gnupg/S.gpg-agent.extra"}},
	{"the X11 socket", "the user's keystrokes, screen and clipboard, and typing into other windows", []string{"/tmp/.X11-unix/X*"}},
	{"the Wayland socket", "windows on the user's desktop, and its clipboard", []string{"/run/user/*/wayland-*"}},
	{"PipeWire's socket", "microphone, camera and screen", []string{"/run/user/*/pipewire-*", "/run/pipewire/pipewire-*"}},
	{"tmux's socket", "programs outside of the sandbox as the user", []string{"/tmp/tmux-*/*", "/run/tmux/*/*", "/run/user/*/tmux-*/*"}},
	{"screen's socket", "programs outside of the sandbox as the user", []string{"/run/screen/S-*/*", "/tmp/screens/S-*/*", "/tmp/uscreens/S-*/*", "~/.screen/*"}},
	{"zellij's socket", "programs outside of the sandbox as the user", []string{"/run/user/*/zellij/*/*", "/tmp/zellij-*/*/*"}},
	{"an editor's socket", "programs outside of the sandbox as the user", []string{"/tmp/emacs*/*", "/run/user/*/emacs/*", "/run/user/*/nvim.*", "/tmp/nvim.*/*/*", "/run/user/*/vscode-*", "/tmp/vscode-*"}},
	{"a terminal's socket", "programs outside of the sandbox as the user", []string{"/run/user/*/wezterm/*", "~/.local/share/wezterm/*sock*", "/tmp/kitty*", "/run/user/*/kitty*"}},
	{"PulseAudio's socket", "the microphone, and loading modules into the sound server", []string{"/run/user/*/pulse/native", "/run/pulse/native", "/tmp/pulse-*/native"}},
}

// An Exposure is a socket of the host that a rule of the profile lets the task reach.
type Exposure struct {
	Socket string // "Docker's socket"
	Path   string // where the socket usually is on the host; * stands for one component
	Gives  string // what a program can do with it
	Rule   string // the rule that shows it: "mounts[2]", "root", "network"
	Pos    policy.Pos
}

func (e Exposure) String() string {
	return e.Rule + ": it shows " + e.Socket + " (" + e.Path + "), which gives " + e.Gives
}

// Exposures lists the well-known sockets that an effective profile shows, once for each rule that shows one. It leaves
// out a socket that a later mount covers or a hide rule hides. runtimeDir is the caller's XDG_RUNTIME_DIR; "" if it is
// not set. Exposures decides by paths, and does not check whether the host has such a socket.
func Exposures(p *policy.Profile, runtimeDir string) []Exposure {
	var list []Exposure
	if p.Root.Kind == policy.RootHost {
		list = exposedBy(p, list, &policy.Mount{Kind: policy.MountBind, Source: "/", Pos: p.Source("root")}, "root", 0, runtimeDir)
	}
	for i := range p.Mounts {
		if m := &p.Mounts[i]; m.Kind == policy.MountBind || m.Kind == policy.MountOverlay {
			list = exposedBy(p, list, m, mountAt(i), i+1, runtimeDir)
		}
	}
	if l := &p.Landlock; p.Network.Mode == policy.NetworkHost && (l.Off || l.Scope.Set && !slices.Contains(l.Scope.V, "abstract-unix-socket")) {
		list = append(list, Exposure{"the host's abstract sockets", "X11's and D-Bus's among them", "what those do, since landlock.scope does not hold them back", "network", p.Source("network")})
	}
	return list
}

// exposedBy adds the sockets that one mount shows. later is the index of the first mount that may cover it.
func exposedBy(p *policy.Profile, list []Exposure, m *policy.Mount, rule string, later int, runtimeDir string) []Exposure {
	source := hostNames(m.Source, runtimeDir)
	if source == nil {
		return list // a relative path depends on the working directory, which is not known here
	}
	if len(source) > 0 && source[0] == "root" { // treat root's home like any other home
		source = append([]string{"home", "*"}, source[1:]...)
	}
	for i := range sockets {
		s := &sockets[i]
		for _, text := range s.paths {
			host := hostNames(text, "")
			if !above(source, host) {
				continue
			}
			inside := host
			if target := hostNames(m.Place(), runtimeDir); target != nil {
				inside = append(slices.Clone(target), host[len(source):]...)
			}
			if !covered(p, host, inside, later, runtimeDir) {
				list = append(list, Exposure{s.name, text, s.gives, rule, m.Pos})
				break // one path is enough to report the socket
			}
		}
	}
	return list
}

// covered reports whether a later mount or a hide rule hides a path. host is the path on the host, inside is the same
// path in the sandbox.
func covered(p *policy.Profile, host, inside []string, later int, runtimeDir string) bool {
	for i := later; i < len(p.Mounts); i++ {
		m := &p.Mounts[i]
		if place := hostNames(m.Place(), runtimeDir); m.Kind != policy.MountDir && m.Kind != policy.MountSymlink && place != nil && above(place, inside) {
			return true
		}
	}
	for i := range p.Hide {
		if rest, ok := strings.CutPrefix(p.Hide[i].Pattern, "**/"); ok {
			names := strings.Split(rest, "/")
			for at := range inside {
				if above(names, inside[at:]) {
					return true
				}
			}
			continue
		}
		if hidden := hostNames(p.Hide[i].Pattern, runtimeDir); hidden != nil && (above(hidden, host) || above(hidden, inside)) {
			return true
		}
	}
	return false
}

// SocketAt returns the name of the well-known socket at a path of the host, and what the socket gives a program. Both
// are "" if the path is not a well-known socket.
func SocketAt(name string) (socket, gives string) {
	at := hostNames(name, "")
	for i := range sockets {
		for _, text := range sockets[i].paths {
			if host := hostNames(text, ""); len(host) == len(at) && above(host, at) {
				return sockets[i].name, sockets[i].gives
			}
		}
	}
	return "", ""
}

// hostNames splits a path into its components. The path must be absolute or begin at a home; otherwise it returns nil.
// If ordinary systems have two names for a directory, it returns the same components for both.
func hostNames(p, runtimeDir string) []string {
	switch {
	case p == "~" || strings.HasPrefix(p, "~/"):
		p = "/home/*" + p[1:]
	case !strings.HasPrefix(p, "/"):
		return nil
	}
	p = path.Clean(p)
	if rest, ok := strings.CutPrefix(p, "/var/run"); ok && (rest == "" || rest[0] == '/') {
		p = "/run" + rest
	}
	if rest, ok := strings.CutPrefix(p, path.Clean(runtimeDir)); ok && strings.HasPrefix(runtimeDir, "/") && (rest == "" || rest[0] == '/') {
		p = "/run/user/*" + rest
	}
	if p == "/" {
		return []string{}
	}
	return strings.Split(p[1:], "/")
}

// above reports whether dir is the path of, or lies above it. Both may contain wildcards.
func above(dir, of []string) bool {
	if len(dir) > len(of) {
		return false
	}
	for i, name := range dir {
		if name != of[i] && !matches(name, of[i]) && !matches(of[i], name) {
			return false
		}
	}
	return true
}

func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// overlaidCaches finds caches of the caller that the program reads.
func (l *linter) overlaidCaches() {
	if mode, _ := l.p.CacheMode(); mode == policy.CacheOverlay {
		l.say(l.p.Source("cache.mode"), "cache: the program reads your own caches")
	}
}

func (l *linter) families() {
	var open []string
	var at policy.Pos
	for _, family := range []string{"AF_ALG", "AF_PACKET", "AF_VSOCK", "AF_KEY", "AF_TIPC", "AF_CAN"} {
		if place, yes := l.passes("socket(" + family + ")"); yes {
			open, at = append(open, family), place
		}
	}
	if open != nil {
		l.say(at, "syscalls: socket can be called with "+strings.Join(open, ", "))
	}
}
