package lint

import (
	"slices"
	"strings"
	"testing"

	"cordon/policy"
)

func linted(t *testing.T, text string) []Finding {
	t.Helper()
	p := read(t, text)
	found, err := Check(p, Options{File: "p.yaml", Names: []string{"./p.yaml"}, Arch: "amd64", Text: func(file string) []byte {
		if file != "p.yaml" {
			t.Errorf("asked for %q", file)
		}
		return []byte(text)
	}})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func codes(found []Finding) (out []string) {
	for _, f := range found {
		if f.Ignored == "" {
			out = append(out, f.Rule.Code)
		}
	}
	return out
}

// starts is a part of a profile with a filter under which programs can start.
const starts = "syscalls: {allow: [execve, exit_group, rt_sigreturn]}\n"

// TestLint checks for every rule that it finds a problem in the first profile, on the given line, and none in the
// second.
func TestLint(t *testing.T) {
	cases := []struct {
		code, bad string
		line      int // 0 if the finding has no line
		good      string
	}{
		{"CL000", "# lint:ignore CL999 no such rule\nversion: 1", 1, "# lint:ignore CL017 a reason\nversion: 1"},
		{"CL000", "version: 1 # lint:ignore CL017", 1, "version: 1 # lint:ignored otherwise"},
		{"CL001", "syscalls:\n  default: allow", 2, "syscalls: {default: errno(EPERM)}"},
		{"CL001", "syscalls:\n  default: log", 2, "version: 1"},
		{"CL002", "syscalls:\n  unknown: allow", 2, "syscalls: {unknown: kill}"},
		{"CL003", "syscalls:\n  arches: [native, i386]", 2, "syscalls: {arches: [native]}"},
		{"CL003", "syscalls:\n  arches: [native, x32]", 2, "version: 1"},
		{"CL004", "syscalls:\n  allow:\n    - read\n    - io_uring_setup", 4, "syscalls: {allow: [read]}"},
		{"CL004", "syscalls:\n  allow:\n    - \"@keyring\"", 3, `syscalls: {allow: ["@keyring"], deny: ["@keyring"]}`},
		{"CL005", "syscalls:\n  allow: [ptrace]", 2, "syscalls: {allow: [ptrace], rules: [{ptrace: errno(EPERM)}]}"},
		{"CL006", "syscalls:\n  allow: [\"@mount\"]", 2, "syscalls: {allow: [stat]}"},
		{"CL006", "syscalls:\n  allow: [unshare]", 2, "syscalls: {rules: [{unshare: flags & CLONE_NEWUSER == 0}]}"},
		{"CL007", "syscalls:\n  allow: [reboot]", 2, "syscalls: {allow: [kill]}"},
		{"CL008", "syscalls:\n  allow: [socket]", 2, "syscalls: {rules: [{socket: 'in(family, AF_UNIX, AF_INET)'}]}"},
		{"CL009", "syscalls:\n  allow: [ioctl]", 2, "syscalls: {rules: [{ioctl: uint32(cmd) != TIOCSTI && uint32(cmd) != TIOCLINUX}]}"},
		{"CL009", "syscalls:\n  rules:\n    - ioctl: uint32(cmd) != TIOCSTI", 3, "syscalls: {rules: [{ioctl: uint32(cmd) == TCGETS}]}"},
		{"CL009", "syscalls:\n  rules:\n    - ioctl: cmd != TIOCSTI || fd == 0", 3, "version: 1"},
		{"CL010", "syscalls:\n  allow: [clone]", 2, "syscalls: {rules: [{clone: flags & CLONE_NEW_ANY == 0}]}"},
		{"CL010", "syscalls:\n  allow: [clone3]", 2, "syscalls: {allow: [clone3], rules: [{clone3: errno(ENOSYS)}]}"},
		{"CL011", "network: host\ncapabilities:\n  keep: [NET_ADMIN]", 3, "capabilities: {keep: [NET_ADMIN]}"},
		{"CL012", "network: host", 1, "network: none"},
		{"CL013", "capabilities:\n  keep: [CHOWN, SYS_ADMIN]", 2, "capabilities: {keep: [CHOWN]}"},
		{"CL014", "namespaces:\n  pid: host", 2, "namespaces: {pid: new}"},
		{"CL015", "env:\n  keep: [\"LD_*\"]", 2, "env: {keep: [LANG]}"},
		{"CL015", "env:\n  keep: [BASH_ENV]", 2, `env: {keep: ["LC_*"]}`},
		{"CL015", "env:\n  set: {LD_PRELOAD: ./x.so}", 2, "env: {set: {LD_PRELOAD: '', LANG: C}}"},
		{"CL016", "env:\n  keep: [GITHUB_TOKEN]", 2, "env: {keep: [GIT_AUTHOR_NAME]}"},
		{"CL016", "env:\n  keep: [\"AWS_*\"]", 2, `env: {keep: ["CARGO_*"]}`},
		{"CL016", "env:\n  keep: [\"*\"]", 2, "version: 1"},
		{"CL016", "env:\n  set: {DB_PASSWORD: hunter2}", 2, "env: {set: {DB_PASSWORD_FILE: /run/secret}}"},
		{"CL017", "version: 1", 0, "limits: {wall: 5m}"},
		{"CL017", "limits: {rlimits: {nofile: 5}}", 0, "limits: {rlimits: {nproc: 5}}"},
		{"CL018", "tty: inherit", 1, "tty: none"},
		{"CL019", "landlock: off", 1, "version: 1"},
		{"CL020", "missing: [landlock]", 1, "missing: []"},
		{"CL021", "mounts:\n  - {bind: /run}", 2, "mounts: [{bind: /usr}]"},
		{"CL021", "mounts:\n  - {bind: /var/run/docker.sock}", 2, "mounts: [{bind: /run}, {tmpfs: /run}]"},
		{"CL022", "mounts:\n  - {bind: \"~\", mode: rw}", 2, "mounts: [{bind: ~/src, mode: rw}]"},
		{"CL022", "mounts:\n  - {bind: /usr/local, mode: rw}", 2, "mounts: [{bind: /usr/local}]"},
		{"CL022", "mounts:\n  - {bind: ~/.config, mode: rw}", 2, "mounts: [{bind: ~/.config/tool, mode: rw}]"},
		{"CL022", "mounts:\n  - {bind: /etc/ld.so.preload, mode: rw}", 2, "mounts: [{bind: /var/lib/x, mode: rw}]"},
		{"CL022", "mounts:\n  - {bind: /boot, mode: rw}", 2, "mounts: [{bind: /boot}]"},
		{"CL022", "mounts:\n  - {bind: /var/spool, mode: rw}", 2, "mounts: [{bind: /var/log/x, mode: rw}]"},
		{"CL022", "mounts:\n  - {bind: /var/spool/cron/crontabs/me, mode: rw}", 2, "mounts: [{bind: /var/spool/x, mode: rw}]"},
		{"CL022", "mounts:\n  - {bind: /var/lib/dpkg, mode: rw}", 2, "mounts: [{bind: /var/lib/x, mode: rw}]"},
		{"CL022", "mounts:\n  - {bind: /etc/systemd/system, mode: rw}", 2, "mounts: [{bind: /etc/systemd/system}]"},
		{"CL022", "mounts:\n  - {bind: ~/.config/systemd/user, mode: rw}", 2, "mounts: [{bind: ~/.config/x, mode: rw}]"},
		{"CL022", "mounts:\n  - {bind: ~/.xprofile, mode: rw}", 2, "mounts: [{bind: ~/.xprofile}]"},
		{"CL022", "mounts:\n  - {bind: ~/.tmux.conf, mode: rw}", 2, "mounts: [{bind: ~/.tmuxes, mode: rw}]"},
		{"CL022", "mounts:\n  - {bind: ~/.config/nvim, mode: rw}", 2, "mounts: [{bind: ~/.cache/nvim, mode: rw}]"},
		{"CL022", "mounts:\n  - {bind: ~/.cargo, mode: rw}", 2, "mounts: [{bind: ~/.cargo/registry, mode: rw}]"},
		{"CL022", "mounts:\n  - {bind: ~/.cargo/config.toml, mode: rw}", 2, "{mounts: [{bind: ~/.cargo, mode: rw}, {bind: ~/.cargo/bin}], hide: [~/.cargo/config, ~/.cargo/config.toml, ~/.cargo/env]}"},
		{"CL022", "mounts:\n  - {bind: /run/cordon, mode: rw}", 2, "mounts: [{bind: /run/cordon}]"},
		{"CL022", "mounts:\n  - {bind: /run/cordon/run, mode: rw}", 2, "mounts: [{bind: /run/x, mode: rw}]"},
		{"CL022", "mounts:\n  - {bind: /root/.bashrc, mode: rw}", 2, "mounts: [{bind: /root/x, mode: rw}]"},
		{"CL022", "mounts:\n  - {bind: /home, mode: rw}", 2, "mounts: [{bind: /home}]"},
		{"CL022", "mounts:\n  - {bind: /home/u, mode: rw, target: /x}", 2, "mounts: [{bind: /home/u/src, mode: rw, target: /x}]"},
		{"CL022", "mounts:\n  - {bind: /, mode: rw, target: /host}", 2, "mounts: [{bind: /, target: /host}]"},
		{"CL022", "mounts:\n  - {overlay: ~/x, upper: ~/.ssh}", 2, "mounts: [{overlay: ~/.ssh, upper: ~/x}]"},
		{"CL022", "root: {host: ro, overlay: ~/.config}", 1, "root: {host: ro, overlay: tmp}"},
		{"CL022", "root: {dir: /, mode: rw}", 1, "root: {dir: /srv/x, mode: rw}"},
		{"CL023", "mounts:\n  - {bind: ., mode: rw}", 2, `{mounts: [{bind: ., mode: rw}], hide: ["**/.git/hooks"]}`},
		{"CL023", "mounts:\n  - {bind: ., mode: rw}", 2, "mounts: [{bind: .}]"},
		{"CL024", "root: {host: ro}", 1, "root: {empty: true}"},
		{"CL024", "mounts:\n  - {bind: \"~\"}", 2, "mounts: [{bind: ~/src}]"},
		{"CL024", "mounts:\n  - {bind: /root}", 2, "mounts: [{bind: /usr}]"},
		{"CL025", "mounts: [{bind: /usr}]\nhide:\n  - /srv/secret", 3, "{mounts: [{bind: /srv}], hide: [/srv/secret]}"},
		{"CL025", "hide: [/x]", 1, "{root: {host: ro}, hide: [/x]}"},
		{"CL025", "hide: [/x]", 1, "{mounts: [{bind: .}], hide: [/x]}"},
		{"CL026", starts + "mounts:\n  - {bind: /usr/lib}\n  - {bind: /usr}", 3, starts + "mounts: [{bind: /usr}, {bind: /usr/lib}]"},
		{"CL026", starts + "mounts:\n  - {bind: /a}\n  - {tmpfs: /a}", 3, starts + "mounts: [{bind: /a}, {tmpfs: /a, optional: true}]"},
		{"CL026", "syscalls:\n  default: kill", 2, starts},
		{"CL026", "syscalls:\n  rules:\n    - kill: sig == 1\n    - kill: sig == 2", 3, "syscalls: {allow: [execve, exit_group, rt_sigreturn]}"},
		{"CL027", "user:\n  host: caller", 2, "user: {host: auto}"},
		{"CL028", "mounts:\n  - {proc: /proc, mask: []}", 2, "mounts: [{proc: /proc}]"},
		{"CL028", "namespaces: {pid: host}\nmounts:\n  - {proc: /proc}", 3, "{namespaces: {pid: host}, mounts: [{proc: /proc, hidepid: invisible}]}"},
		{"CL030", "mounts:\n  - {bind: /dev/sda, mode: rw}", 2, "mounts: [{bind: /dev/null, mode: rw}]"},
		{"CL030", "mounts:\n  - {bind: /dev}", 2, "mounts: [{dev: /dev}]"},
		{"CL030", "mounts:\n  - {bind: /dev/mapper/vg-root}", 2, "mounts: [{bind: /}, {dev: /dev}]"},
		{"CL031", "mounts:\n  - {bind: ., mode: rw}", 2, "mounts: [{bind: .}]"},
		{"CL038", "network: {allow: [\"*.com:443\"]}", 1, "network: {allow: [\"*.example.org\", \"10.0.0.0/8:5432\"]}"},
		{"CL038", "network:\n  allow: [\":22\"]", 2, "network: {allow: [\"192.0.2.0/24:22\"]}"},
		{"CL038", "network: {allow: [\"*.github.io\"]}", 1, "network: {allow: [\"me.github.io\"]}"},
		{"CL038", "network: {allow: [\"0.0.0.0/0:80\"]}", 1, "network: {deny: [\"0.0.0.0/0\"]}"},
		{"CL039", "network: {allow: [\"169.254.169.254:80\"]}", 1, "network: {allow: [\"169.254.169.254:80\"], deny: [\"169.254.0.0/16\"]}"},
		{"CL040", "network: {publish: [\"0.0.0.0:80:80\"]}", 1, "network: {publish: [\"8080:80\"]}"},
		{"CL040", "network:\n  publish: [\"[::]:80:80\"]", 2, "network: {publish: [\"[::1]:80:80\", \"192.0.2.1:80:80\"]}"},
		{"CL039", "network: {allow: [\"fd00::/8:80\"]}", 1, "network: {allow: [\"fc00::/64:80\", \":80\"]}"},
		{"CL036", "process: {umask: \"0000\"}\nmounts: [{bind: ., mode: rw}]", 1, "process: {umask: \"0002\"}\nmounts: [{bind: ., mode: ro}]"},
		{"CL037", "version: 1\ncache: overlay", 2, "cache: project"},
		{"CL036", "mounts: [{bind: /srv, mode: rw}]\nprocess:\n  umask: \"0055\"", 3, "process: {umask: \"0000\"}\nmounts: [{bind: /srv}]"},
		{"CL036", "root: {dir: /srv/r, mode: rw}\nprocess: {umask: \"0020\"}", 2, "root: {dir: /srv/r, mode: rw}\nprocess: {umask: \"0022\"}"},
		{"CL033", "mounts:\n  - {bind: ., mode: rw}", 2, "mounts: [{bind: .}]"},
		{"CL034", "syscalls:\n  allow: [socketpair, sendto]\n  rules:\n    - socket: family != AF_UNIX", 2, "syscalls: {rules: [{socket: family != AF_UNIX}, {socketpair: 'in(type & 0xf, SOCK_STREAM, SOCK_SEQPACKET)'}]}"},
		{"CL034", "syscalls:\n  rules:\n    - socketpair: type & 0xf != SOCK_DGRAM", 3, "syscalls: {allow: [socket, socketpair]}"},
		{"CL034", "syscalls:\n  rules:\n    - socketpair: type != SOCK_DGRAM && type != SOCK_RAW", 3, "syscalls: {deny: [socket, socketpair]}"},
		{"CL035", "limits:\n  rlimits: {core: unlimited}", 2, "limits: {rlimits: {core: 0}}"},
		{"CL035", "limits:\n  rlimits: {core: 5}", 2, "version: 1"},
		{"CL033", "mounts:\n  - {bind: ~/.config, mode: rw}", 2, "mounts: [{bind: ~/.config/git, mode: rw}]"},
		{"CL029", "mounts:\n  - {bind: /tmp, mode: rw}", 2, "mounts: [{tmpfs: /tmp}]"},
	}
	for _, c := range cases {
		t.Run(c.code, func(t *testing.T) {
			i := slices.IndexFunc(linted(t, c.bad), func(f Finding) bool { return f.Rule.Code == c.code })
			if i < 0 {
				t.Fatalf("%q: only %v", c.bad, codes(linted(t, c.bad)))
			}
			f := linted(t, c.bad)[i]
			if f.Pos.Line != c.line || f.Pos.File != "p.yaml" || c.line > 0 && c.code != "CL000" && f.Pos.Col == 0 {
				t.Errorf("%q: at %+v, not line %d: %s", c.bad, f.Pos, c.line, f.Text)
			}
			if found := codes(linted(t, c.good)); slices.Contains(found, c.code) {
				t.Errorf("%q has it too", c.good)
			}
		})
	}
	for _, r := range Rules() {
		if r.Code == "CL032" { // this rule needs two profiles: see TestLiftedHide
			continue
		}
		if !slices.ContainsFunc(cases, func(c struct {
			code, bad string
			line      int
			good      string
		}) bool {
			return c.code == r.Code
		}) {
			t.Errorf("%s has no case", r.Code)
		}
		if r.About == "" || r.Why == "" || r.Fix == "" || r.Name == "" || r.Level == "" {
			t.Errorf("%s says too little", r.Code)
		}
	}
}

// TestLintIgnore checks which comments mark a finding as ignored. The comment must be on the line of the finding or
// above it, or anywhere if the finding has no line. It must have a reason, and the code of the finding.
func TestLintIgnore(t *testing.T) {
	for _, c := range []struct {
		text string
		want bool // whether the finding is ignored
	}{
		{"tty: inherit # lint:ignore CL018 because", true},
		{"# lint:ignore CL018 because\ntty: inherit", true},
		{"tty: inherit # why it is so # lint:ignore CL018 because", true},
		{"tty: inherit # lint:ignore CL001, CL018 because", true},
		{"tty: inherit # lint:ignore CL018", false},
		{"tty: inherit # lint:ignore CL019 because", false},
		{"version: 1 # lint:ignore CL018 another line\ntty: inherit", false},
		{"# lint:ignore CL018 because\n\ntty: inherit", false},
		{"# lint:ignore-file CL018 because\n\ntty: inherit", false},
		{"tty: inherit", false},
	} {
		for _, f := range linted(t, c.text) {
			if f.Rule.Code == "CL018" && (f.Ignored != "") != c.want {
				t.Errorf("%q: ignored %q", c.text, f.Ignored)
			}
		}
	}
	if found := codes(linted(t, "version: 1\n# lint:ignore-file CL017 because\n")); slices.Contains(found, "CL017") {
		t.Errorf("%v", found)
	}
}

// TestLintCodes checks that the codes are in order without gaps, so that nobody uses a code for two rules.
func TestLintCodes(t *testing.T) {
	for i, r := range Rules() {
		if want := "CL0" + string(rune('0'+i/10)) + string(rune('0'+i%10)); r.Code != want {
			t.Errorf("rule %d is %s", i, r.Code)
		}
		if strings.Contains(r.Fix, "\\\"") {
			t.Errorf("%s: %s", r.Code, r.Fix)
		}
	}
}

// TestLintLifted checks that lint finds removed hide rules, even if the profile itself has set the rule.
func TestLintLifted(t *testing.T) {
	p := policy.Merge(read(t, "hide: [~/.netrc]\n"), read(t, "hide: [{remove: ~/.netrc}]\n"))
	found, err := Check(p, Options{File: "p.yaml", Arch: "amd64", Text: func(string) []byte { return nil }})
	if err != nil || !slices.Contains(codes(found), "CL032") {
		t.Errorf("%v, %v", codes(found), err)
	}
}

func read(t *testing.T, text string) *policy.Profile {
	t.Helper()
	p, err := policy.Parse("p.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return p
}
