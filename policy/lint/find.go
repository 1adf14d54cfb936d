package lint

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"cordon/policy"
)

// What each rule looks for.

func (l *linter) defaultAllow() {
	if l.spec.Default.Passes() {
		l.say(l.p.Source("syscalls.default"), "syscalls.default: every call that is not denied can be called")
	}
}

func (l *linter) unknownAllow() {
	if l.spec.Unknown.Passes() {
		l.say(l.p.Source("syscalls.unknown"), "syscalls.unknown: calls that no table knows can be called")
	}
}

func (l *linter) arches() {
	for _, a := range l.spec.Foreign {
		if a != l.arch {
			l.say(l.p.Source("syscalls.arches"), "syscalls.arches: calls of "+a.String()+" are possible")
		}
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

func (l *linter) networkCapabilities() {
	if l.p.Network.Mode != policy.NetworkHost && l.p.Namespaces.Net.Mode != policy.NSHost {
		return
	}
	for _, c := range l.p.Capabilities.Keep {
		if c.Name == "NET_ADMIN" || c.Name == "NET_RAW" {
			l.say(c.Pos, "capabilities: "+c.Name+" is kept in the host's network")
		}
	}
}

func (l *linter) hostNetwork() {
	if l.p.Network.Mode == policy.NetworkHost {
		l.say(l.p.Source("network"), "network: it is the host's")
	}
}

// asRoot are capabilities that lead to all others, by capabilities(7): mounts and most of the kernel, modules, memory of other
// processes, every file, devices, tracing, the kernel's log and clock.
var asRoot = []string{"SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO", "DAC_READ_SEARCH", "BPF", "PERFMON", "SYS_BOOT", "SYS_TIME", "MKNOD", "MAC_ADMIN", "MAC_OVERRIDE", "CHECKPOINT_RESTORE", "SYSLOG"}

func (l *linter) capabilities() {
	for _, c := range l.p.Capabilities.Keep {
		if slices.Contains(asRoot, c.Name) {
			l.say(c.Pos, "capabilities: "+c.Name+" is kept")
		}
	}
}

func (l *linter) hostNamespaces() {
	n := &l.p.Namespaces
	for _, x := range [...]struct {
		name string
		ns   *policy.Namespace
	}{{"user", &n.User}, {"mount", &n.Mount}, {"pid", &n.PID}, {"ipc", &n.IPC}, {"uts", &n.UTS}, {"cgroup", &n.Cgroup}, {"net", &n.Net}} {
		if x.ns.Mode == policy.NSHost {
			l.say(l.p.Source("namespaces."+x.name), "namespaces."+x.name+": it is the host's")
		}
	}
}

// LoaderVariables choose code: ld.so(8), and the interpreters that are everywhere.
var LoaderVariables = []string{
	"LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "LD_ORIGIN_PATH", "GLIBC_TUNABLES", "GCONV_PATH", "LOCPATH", "NLSPATH", "BASH_ENV", "ENV",
	"PROMPT_COMMAND", "ZDOTDIR", "NODE_OPTIONS", "NODE_PATH", "PYTHONSTARTUP", "PYTHONPATH", "PYTHONHOME", "PYTHONBREAKPOINT", "PERL5OPT",
	"PERL5LIB", "PERL5DB", "RUBYOPT", "RUBYLIB", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH", "LUA_INIT",
	"LUA_PATH", "LUA_CPATH", "PHPRC", "PHP_INI_SCAN_DIR", "RUSTC_WRAPPER", "GIT_SSH_COMMAND", "GIT_SSH", "GIT_EXTERNAL_DIFF", "GIT_ASKPASS",
	"GIT_EXEC_PATH", "GIT_TEMPLATE_DIR", "SSH_ASKPASS", "SUDO_ASKPASS",
}

// CommandVariables choose which program is run; that they are kept is usual.
var CommandVariables = []string{"PATH", "HOME", "SHELL", "PAGER", "EDITOR", "VISUAL", "BROWSER", "GIT_PAGER", "GIT_EDITOR", "MANPAGER", "LESSOPEN", "MAKEFLAGS", "XDG_CONFIG_HOME"}

// variables finds what of a list is kept.
func (l *linter) variables(list []string, does string) {
	for _, k := range l.p.Env.Keep {
		for _, name := range list {
			prefix, star := strings.CutSuffix(k.Pattern, "*")
			if k.Pattern == name || star && strings.HasPrefix(name, prefix) {
				l.say(k.Pos, "env.keep: "+policy.Quote(k.Pattern)+": "+name+" "+does)
				break
			}
		}
	}
	for _, v := range l.p.Env.Set {
		if v.Value != "" && slices.Contains(list, v.Name) {
			l.say(v.Pos, "env.set: "+v.Name+" "+does)
		}
	}
}

// datagramPairs finds a filter under which no local socket can be made, but a pair of them that reaches all others.
func (l *linter) datagramPairs() {
	if _, yes := l.passes("socket(AF_UNIX)"); yes {
		return
	}
	for _, typ := range []string{"SOCK_DGRAM", "SOCK_RAW", "SOCK_DGRAM|SOCK_CLOEXEC", "SOCK_RAW|SOCK_CLOEXEC"} {
		if at, yes := l.passes("socketpair(AF_UNIX, " + typ + ")"); yes {
			l.say(at, "syscalls: socketpair can be called with AF_UNIX and "+typ+", and socket not with AF_UNIX")
			return
		}
	}
}

func (l *linter) coreDumps() {
	for _, r := range l.p.Limits.Rlimits {
		if r.Name == "core" && r.Value > 1 {
			l.say(r.Pos, "limits.rlimits.core: it is not 0")
		}
	}
}

// secretNames are variables that hold a secret and do not say so by a word of secretWords.
var secretNames = []string{"AWS_ACCESS_KEY_ID", "SSH_AUTH_SOCK", "KUBECONFIG", "DOCKER_AUTH_CONFIG", "DOCKER_HOST", "NETRC", "GPG_AGENT_INFO", "DBUS_SESSION_BUS_ADDRESS"}

var secretWords = []string{"TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "APIKEY", "API_KEY", "ACCESS_KEY", "PRIVATE_KEY", "CREDENTIALS"}

// secretPrefixes are the beginnings of variables of which many hold secrets.
var secretPrefixes = []string{"AWS_", "AZURE_", "GOOGLE_", "GCP_", "GITHUB_", "GITLAB_", "NPM_", "DOCKER_", "VAULT_", "KUBE", "SSH_", "OPENAI_", "ANTHROPIC_", "HF_"}

func holdsSecret(name string) bool {
	name = strings.ToUpper(name)
	return slices.Contains(secretNames, name) || slices.ContainsFunc(secretWords, func(w string) bool { return strings.Contains(name, w) })
}

func (l *linter) secretVariables() {
	for _, k := range l.p.Env.Keep {
		prefix, star := strings.CutSuffix(k.Pattern, "*")
		wide := star && slices.ContainsFunc(secretPrefixes, func(p string) bool { return strings.HasPrefix(p, prefix) || strings.HasPrefix(prefix, p) })
		if holdsSecret(k.Pattern) || wide {
			l.say(k.Pos, "env.keep: "+policy.Quote(k.Pattern)+" lets secrets in")
		}
	}
	for _, v := range l.p.Env.Set {
		if holdsSecret(v.Name) && v.Value != "" && !path.IsAbs(v.Value) {
			l.say(v.Pos, "env.set: "+v.Name+" has a secret in the profile itself")
		}
	}
}

func (l *linter) noLimits() {
	m := &l.p.Limits
	if m.Memory.Set || m.PIDs.Set || m.Wall.Set || m.CPUTime.Set || slices.ContainsFunc(m.Rlimits, func(r policy.Rlimit) bool {
		return slices.Contains([]string{"as", "data", "nproc", "cpu"}, r.Name) && r.Value != policy.Unlimited
	}) {
		return
	}
	l.say(policy.Pos{}, "limits: there is none on memory, processes or time")
}

func (l *linter) terminal() {
	if l.p.TTY == policy.TTYInherit {
		l.say(l.p.Source("tty"), "tty: the caller's terminal is passed through")
	}
}

func (l *linter) landlockOff() {
	if l.p.Landlock.Off {
		l.say(l.p.Source("landlock"), "landlock: it is off")
	}
}

func (l *linter) missing() {
	for _, m := range l.p.Missing {
		l.say(m.Pos, "missing: the layer "+string(m.Layer)+" may be missing")
	}
}

func (l *linter) hostSockets() {
	for _, e := range Exposures(l.p, l.opts.RuntimeDir) {
		l.say(e.Pos, e.String())
	}
}

// keyPaths are where keys and credentials are.
var keyPaths = []string{"~/.ssh", "~/.gnupg", "~/.aws", "~/.azure", "~/.kube", "~/.docker", "~/.netrc", "~/.npmrc", "~/.pypirc", "~/.git-credentials",
	"~/.password-store", "~/.config/gh", "~/.config/gcloud", "~/.local/share/keyrings", "~/.cargo/credentials.toml", "/etc/shadow", "/etc/gshadow"}

func (l *linter) gitHooks() {
	if l.p.Git == policy.GitProtect {
		return
	}
	for i := range l.p.Mounts {
		m := &l.p.Mounts[i]
		if m.Kind != policy.MountBind || !m.Write || m.Source != "." && m.Source != "~" {
			continue
		}
		hidden := func(name string) bool {
			return slices.ContainsFunc(l.p.Hide, func(h policy.Hide) bool {
				return h.Pattern == "**/.git" || h.Pattern == "**/.git/"+name || h.Pattern == "**/"+name
			})
		}
		if !hidden("hooks") {
			l.say(m.Pos, mountAt(i)+": "+m.Source+" can be written, and .git/hooks in it")
		}
	}
}

// idleHides finds hide rules on paths that nothing shows.
func (l *linter) idleHides() {
	if l.p.Root.Kind != policy.RootEmpty {
		return // there may be something
	}
	relative := slices.ContainsFunc(l.p.Mounts, func(m policy.Mount) bool {
		return (m.Kind == policy.MountBind || m.Kind == policy.MountOverlay) && !strings.HasPrefix(m.Source, "/")
	})
	for i, h := range l.p.Hide {
		hidden := hostNames(h.Pattern, l.opts.RuntimeDir)
		if relative || hidden == nil {
			continue
		}
		shown := slices.ContainsFunc(l.p.Mounts, func(m policy.Mount) bool {
			place := hostNames(m.Place(), l.opts.RuntimeDir)
			empty := m.Kind == policy.MountTmpfs || m.Kind == policy.MountEmpty || m.Kind == policy.MountDir
			return place != nil && !empty && (above(place, hidden) || above(hidden, place))
		})
		if !shown {
			l.say(h.Pos, "hide["+strconv.Itoa(i)+"]: nothing shows "+h.Pattern)
		}
	}
}

func (l *linter) noEffect() {
	for _, w := range l.warnings {
		// What is inherited is not this file's to mend, and narrowing it is the use of inheriting.
		if at := l.placeOf(w.From); at.File == l.opts.File || at.File == "" || at.File == policy.CommandLine {
			l.say(at, "syscalls: "+w.Msg)
		}
	}
	l.coveredMounts()
}

func (l *linter) callerUser() {
	if l.p.User.Host == policy.HostCaller {
		l.say(l.p.Source("user.host"), "user.host: the task has the caller's id outside")
	}
}

func (l *linter) proc() {
	for i := range l.p.Mounts {
		m := &l.p.Mounts[i]
		if m.Kind != policy.MountProc {
			continue
		}
		if m.Mask.Set && len(m.Mask.V) == 0 || m.ReadOnly.Set && len(m.ReadOnly.V) == 0 {
			l.say(m.Pos, mountAt(i)+": proc has no masks")
		}
		if l.p.Namespaces.PID.Mode == policy.NSHost && m.Hidepid != "invisible" && m.Hidepid != "ptraceable" {
			l.say(m.Pos, mountAt(i)+": proc shows the host's processes")
		}
	}
}
