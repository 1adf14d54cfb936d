package lint

import (
	"slices"
	"strings"

	"cordon/policy"
)

// places lists paths of the host from which programs outside the sandbox run something, or on which the whole host
// depends. "~" means every user's home, and * stands for one component. A path below one of them counts too.
var places = [...]struct {
	why   string // why writing there is dangerous
	paths []string
}{
	{"the machine starts from these files", []string{
		"/boot", "/efi", "/lib/modules", "/usr/lib/modules",
	}},
	{"the system consists of these files", []string{
		"/etc", "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64",
	}},
	{"root runs programs from these places", []string{
		"/var/spool/cron", "/var/spool/anacron", "/var/spool/at", "/var/spool/incron", "/var/cron", "/run/systemd",
		"/run/udev", "/var/lib/systemd", "/var/lib/cloud", "/var/lib/polkit-1", "/var/lib/pam", "/var/lib/sudo",
		"/var/lib/AccountsService", "/root",
	}},
	{"package managers use these files", []string{
		"/var/lib/dpkg", "/var/lib/apt", "/var/cache/apt/archives", "/var/lib/rpm", "/var/lib/dnf", "/var/cache/dnf",
		"/var/lib/pacman", "/var/cache/pacman", "/var/lib/apk", "/lib/apk", "/var/lib/portage", "/var/lib/snapd",
		"/snap", "/var/lib/flatpak", "/nix", "/gnu",
	}},
	{"containers and virtual machines run from these places", []string{
		"/var/lib/docker", "/var/lib/containerd", "/var/lib/containers", "/var/lib/kubelet", "/var/lib/etcd",
		"/var/lib/lxc", "/var/lib/lxd", "/var/lib/incus", "/var/lib/libvirt", "/var/lib/machines", "/var/lib/portables",
		"~/.local/share/containers",
	}},
	{"servers serve or run these files", []string{
		"/var/www", "/srv/www", "/var/lib/jenkins", "/var/lib/postgresql", "/var/lib/mysql", "/var/spool/mail",
		"/var/mail",
	}},
	{"the kernel obeys these files", []string{
		"/sys", "/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs",
	}},
	{"a shell runs these files", []string{
		"~/.bashrc", "~/.bash_profile", "~/.bash_login", "~/.bash_logout", "~/.bash_aliases", "~/.bashrc.d",
		"~/.profile", "~/.inputrc", "~/.zshrc", "~/.zshenv", "~/.zprofile", "~/.zlogin", "~/.zlogout", "~/.zsh",
		"~/.oh-my-zsh", "~/.kshrc", "~/.cshrc", "~/.tcshrc", "~/.login", "~/.shrc", "~/.config/fish", "~/.config/zsh",
		"~/.config/bash", "~/.config/nushell", "~/.config/powershell", "~/.config/starship.toml",
		"~/.local/share/bash-completion", "~/.local/share/fish", "~/.aliases", "~/.environment", "~/.pam_environment",
		"~/.config/environment.d",
	}},
	{"the desktop runs these files", []string{
		"~/.xprofile", "~/.xsession", "~/.xsessionrc", "~/.xinitrc", "~/.xserverrc", "~/.Xresources",
		"~/.config/autostart", "~/.config/autostart-scripts", "~/.config/plasma-workspace", "~/.config/systemd",
		"~/.local/share/systemd", "~/.local/share/applications", "~/.local/share/dbus-1", "~/.local/share/gnome-shell",
		"~/.config/i3", "~/.i3", "~/.config/sway", "~/.config/hypr", "~/.config/openbox", "~/.config/awesome",
		"~/.config/bspwm", "~/.config/sxhkd", "~/.config/polybar", "~/.config/waybar", "~/.config/mimeapps.list",
		"~/.fvwm", "~/Desktop",
	}},
	{"a terminal runs these files", []string{
		"~/.tmux.conf", "~/.tmux", "~/.config/tmux", "~/.screenrc", "~/.byobu", "~/.config/byobu", "~/.config/zellij",
		"~/.config/alacritty", "~/.alacritty.toml", "~/.config/kitty", "~/.config/wezterm", "~/.wezterm.lua",
		"~/.config/foot", "~/.config/ghostty",
	}},
	{"an editor runs these files", []string{
		"~/.vimrc", "~/.vim", "~/.gvimrc", "~/.exrc", "~/.viminfo", "~/.config/vim", "~/.config/nvim",
		"~/.local/share/nvim", "~/.local/state/nvim", "~/.emacs", "~/.emacs.el", "~/.emacs.d", "~/.config/emacs",
		"~/.nanorc", "~/.config/nano", "~/.config/micro", "~/.config/helix", "~/.config/kak", "~/.vscode",
		"~/.vscode-server", "~/.config/Code", "~/.config/VSCodium", "~/.vscode-oss", "~/.cursor", "~/.config/Cursor",
		"~/.config/zed", "~/.config/JetBrains", "~/.local/share/JetBrains", "~/.config/sublime-text", "~/.atom",
	}},
	{"git and ssh run programs that these files name", []string{
		"~/.gitconfig", "~/.config/git", "~/.git-templates", "~/.gitattributes", "~/.hgrc", "~/.config/hg",
		"~/.subversion", "~/.ssh", "~/.gnupg", "~/.config/gh", "~/.config/lazygit", "~/.tigrc",
	}},
	{"compilers and package managers run programs that these files name", []string{
		"~/.npmrc", "~/.yarnrc", "~/.yarnrc.yml", "~/.config/pnpm", "~/.config/npm", "~/.npm-global", "~/.bunfig.toml",
		"~/.pip", "~/.config/pip", "~/.pypirc", "~/.pydistutils.cfg", "~/.config/uv", "~/.config/pypoetry", "~/.condarc",
		"~/.conda", "~/.local/lib", "~/.cargo/config", "~/.cargo/config.toml", "~/.cargo/env", "~/.rustup",
		"~/.config/go", "~/.gemrc", "~/.bundle", "~/.m2/settings.xml", "~/.m2/extensions.xml", "~/.mavenrc",
		"~/.gradle/init.gradle", "~/.gradle/init.d", "~/.gradle/gradle.properties", "~/.sbt", "~/.config/composer",
		"~/.composer", "~/.cabal/config", "~/.stack/config.yaml", "~/.ghc", "~/.opam", "~/.mix", "~/.hex",
		"~/.config/nix", "~/.nix-profile", "~/.config/guix", "~/.ccache/ccache.conf", "~/.config/ccache", "~/.bazelrc",
		"~/.Rprofile", "~/.Renviron", "~/.julia/config",
	}},
	{"interpreters and debuggers run these files", []string{
		"~/.pythonrc", "~/.pythonrc.py", "~/.ipython", "~/.jupyter", "~/.irbrc", "~/.pryrc", "~/.rdebugrc", "~/.perldb",
		"~/.guile", "~/.ghci", "~/.gdbinit", "~/.gdbearlyinit", "~/.config/gdb", "~/.lldbinit", "~/.pdbrc", "~/.psqlrc",
		"~/.sqliterc", "~/.mysqlrc", "~/.my.cnf", "~/.octaverc",
	}},
	{"tools run programs that these files name", []string{
		"~/.direnvrc", "~/.config/direnv", "~/.local/share/direnv", "~/.envrc", "~/.nvm", "~/.pyenv", "~/.rbenv",
		"~/.nodenv", "~/.goenv", "~/.jenv", "~/.asdf", "~/.asdfrc", "~/.tool-versions", "~/.config/mise",
		"~/.local/share/mise", "~/.sdkman", "~/.volta", "~/.fnm", "~/.rvm", "~/.docker", "~/.config/docker",
		"~/.config/containers", "~/.kube", "~/.config/helm", "~/.krew", "~/.ansible", "~/.ansible.cfg", "~/.terraformrc",
		"~/.terraform.d", "~/.aws/config", "~/.aws/cli", "~/.vagrant.d", "~/.config/gcloud", "~/.mailcap", "~/.muttrc",
		"~/.config/mutt", "~/.mutt", "~/.config/aerc", "~/.forward", "~/.procmailrc", "~/.lesskey", "~/.lessfilter",
		"~/.config/ranger", "~/.config/lf", "~/.config/nnn", "~/.curlrc", "~/.wgetrc", "~/.config/mpv",
		"~/.config/weechat", "~/.irssi", "~/.mozilla", "~/.config/google-chrome", "~/.config/chromium",
		"~/.local/share/keyrings", "~/.claude", "~/.codex", "~/.config/opencode", "~/.gemini", "~/.aider.conf.yml",
		"~/.config/cron",
	}},
	{"shells find commands in these places", []string{
		"~/bin", "~/.bin", "~/.local/bin", "~/.cargo/bin", "~/go/bin", "~/.bun/bin", "~/.deno/bin", "~/.yarn/bin",
		"~/.npm/bin", "~/.dotnet/tools", "~/.composer/vendor/bin", "~/.config/composer/vendor/bin", "~/.krew/bin",
		"~/.gem", "~/perl5", "~/.luarocks", "~/.nimble/bin", "~/.ghcup", "~/.cabal/bin", "/usr/local", "/opt/bin",
		"/opt/*/bin", "/home/linuxbrew/.linuxbrew",
	}},
	{"cordon reads profiles and its records of runs from these places", []string{
		"~/.config/cordon", "/etc/cordon", "~/.local/state/cordon", "~/.cache/cordon", "/var/lib/cordon",
		"/run/cordon", "/run/user/*/cordon",
	}},
}

// devices lists devices that give control over the host. A program that opens one needs no file system and no
// writable mount.
var devices = []string{
	"/dev/sd*", "/dev/hd*", "/dev/vd*", "/dev/xvd*", "/dev/nvme*", "/dev/mmcblk*", "/dev/md*", "/dev/dm-*",
	"/dev/mapper", "/dev/disk", "/dev/block", "/dev/loop*", "/dev/nbd*", "/dev/zd*", "/dev/zfs", "/dev/bcache*",
	"/dev/sr*", "/dev/sg*", "/dev/bsg", "/dev/ram*", "/dev/mtd*", "/dev/mem", "/dev/kmem", "/dev/port", "/dev/kcore",
	"/dev/cpu", "/dev/msr*", "/dev/nvram", "/dev/mei*", "/dev/tpm*", "/dev/vfio", "/dev/iommu", "/dev/uinput",
	"/dev/uhid", "/dev/input", "/dev/hidraw*", "/dev/bus", "/dev/i2c-*", "/dev/gpiochip*", "/dev/fb*",
	"/dev/tty[0-9]*", "/dev/vcs*", "/dev/console", "/dev/kmsg", "/dev/fuse", "/dev/vhost-*", "/dev/vsock",
	"/dev/net", "/dev/watchdog*",
}

// projectPlaces lists names in a project that tell programs outside the sandbox what to run, for example an editor that
// opens the project, or a shell that enters it.
var projectPlaces = []string{
	".envrc", ".vscode", ".idea", ".devcontainer", ".husky", ".npmrc", ".yarnrc.yml", ".cargo", ".mise.toml",
	".tool-versions", ".exrc", ".nvim.lua", ".lvimrc", ".dir-locals.el", ".gdbinit", ".tmux.conf", ".zed", ".fleet",
}

// A writing is a path of the host that the task can write because of a rule.
type writing struct {
	rule   string
	at     policy.Pos
	source []string // the source as hostNames splits it; nil if it is relative
	place  []string // the path inside; nil if it is relative, or if nothing shows it
	later  int      // index of the first mount that may cover it
	text   string
}

// writings lists the paths of the host that the task can write: writable binds, and directories that store changes of
// overlays.
func (l *linter) writings() (out []writing) {
	add := func(rule string, at policy.Pos, source, place string, later int) {
		names := hostNames(source, l.opts.RuntimeDir)
		if len(names) > 0 && names[0] == "root" { // treat root's home like any other home
			names = append([]string{"home", "*"}, names[1:]...)
		}
		out = append(out, writing{rule, at, names, hostNames(place, l.opts.RuntimeDir), later, source})
	}
	r := &l.p.Root
	switch {
	case r.Kind == policy.RootDir && r.Write:
		add("root", l.p.Source("root.mode"), r.Dir, "/", 0)
	case r.Kind != policy.RootEmpty && r.Overlay != "" && r.Overlay != "tmp":
		add("root.overlay", l.p.Source("root.overlay"), r.Overlay, "", len(l.p.Mounts))
	}
	for i := range l.p.Mounts {
		switch m := &l.p.Mounts[i]; {
		case m.Kind == policy.MountBind && m.Write:
			add(mountAt(i), m.Pos, m.Source, m.Place(), i+1)
		case m.Kind == policy.MountOverlay && m.Upper != "tmp" && m.Upper != "":
			add(mountAt(i)+".upper", m.Pos, m.Upper, "", len(l.p.Mounts))
		}
	}
	return out
}

// hits reports whether w makes a path writable: it contains the path, or lies below it.
func (l *linter) hits(w *writing, host string) bool {
	target := hostNames(host, "")
	if len(target) > 0 && target[0] == "root" && len(target) == 1 {
		return len(w.source) <= 2 && above(w.source, []string{"home", "*"}) && strings.HasPrefix(w.text, "/root")
	}
	switch {
	case w.source == nil:
		return false
	case !above(w.source, target):
		return above(target, w.source)
	case w.place == nil: // the task writes to the upper directory of an overlay, although no mount shows that directory
		return true
	}
	inside := append(slices.Clone(w.place), target[len(w.source):]...)
	return !covered(l.p, target, inside, w.later, l.opts.RuntimeDir)
}

// writablePlaces finds files of the host that the task can write and a program outside the sandbox runs. It makes one
// finding for each rule that shows some of them.
func (l *linter) writablePlaces() {
	for _, w := range l.writings() {
		var groups []string
		for i := range places {
			var hit []string
			for _, host := range places[i].paths {
				if l.hits(&w, host) {
					hit = append(hit, host)
				}
			}
			if len(hit) > 0 {
				groups = append(groups, few(hit, 4)+" ("+places[i].why+")")
			}
		}
		if groups != nil {
			l.say(w.at, w.rule+": "+w.text+" can be written: "+strings.Join(groups, "; "))
		}
	}
}

// few lists the first n names of a list.
func few(list []string, n int) string {
	if len(list) <= n {
		return strings.Join(list, ", ")
	}
	return strings.Join(list[:n], ", ") + ", …"
}

// hostDevices finds devices of the host in binds, writable or not.
func (l *linter) hostDevices() {
	var rules []string
	found, at := map[string][]string{}, map[string]policy.Pos{}
	for i := range l.p.Mounts {
		m := &l.p.Mounts[i]
		source := hostNames(m.Source, "")
		if m.Kind != policy.MountBind || source == nil {
			continue
		}
		w := writing{source: source, place: hostNames(m.Place(), l.opts.RuntimeDir), later: i + 1, text: m.Source}
		for _, device := range devices {
			if !l.hits(&w, device) {
				continue
			}
			rule := mountAt(i)
			if found[rule] == nil {
				rules = append(rules, rule)
			}
			found[rule], at[rule] = append(found[rule], device), m.Pos
		}
	}
	for _, rule := range rules {
		l.say(at[rule], rule+": devices of the host are in it: "+few(found[rule], 6))
	}
}

// projectPrograms finds files in a writable working directory that programs outside the sandbox run.
func (l *linter) projectPrograms() {
	for i := range l.p.Mounts {
		m := &l.p.Mounts[i]
		if m.Kind != policy.MountBind || !m.Write || m.Source != "." {
			continue
		}
		var open []string
		for _, name := range projectPlaces {
			if !l.guarded(name, i+1) {
				open = append(open, name)
			}
		}
		if open != nil {
			l.say(m.Pos, mountAt(i)+": "+m.Source+" can be written, and in it "+few(open, 8))
		}
	}
}

// guarded reports whether a name in the working directory is hidden, or is below a later mount that is not writable.
func (l *linter) guarded(name string, later int) bool {
	for _, m := range l.p.Mounts[later:] {
		if m.Place() == "./"+name && !(m.Kind == policy.MountBind && m.Write) {
			return true
		}
	}
	return slices.ContainsFunc(l.p.Hide, func(h policy.Hide) bool { return h.Pattern == "**/"+name })
}

// ownProfile finds the writable bind that contains the profile itself, or a directory in which cordon looks up
// profiles.
func (l *linter) ownProfile() {
	for i := len(l.p.Mounts) - 1; i >= 0; i-- {
		m := &l.p.Mounts[i]
		if m.Kind == policy.MountBind && m.Write && slices.ContainsFunc(l.opts.Names, func(name string) bool { return holds(m.Source, name) }) {
			l.say(m.Pos, mountAt(i)+": "+m.Source+" can be written, and the profile "+l.opts.File+" is in it")
			break
		}
	}
	l.paths([]string{"~/.config/cordon/profiles", "/etc/cordon/profiles"}, true, "can be written, where profiles are looked for")
}

// holds reports whether a source contains a path. Both must be written in the same way.
func holds(source, name string) bool {
	if source == "." {
		return strings.HasPrefix(name, "./")
	}
	_, yes := policy.Beneath(source, name)
	return yes
}
