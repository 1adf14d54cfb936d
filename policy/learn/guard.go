package learn

import (
	"path"
	"slices"
	"strings"

	"cordon/policy/filter"
	"cordon/policy/lint"
	"cordon/policy/phrase"
	"cordon/policy/recording"
)

// This file lists what learn never allows unless the user grants it, whatever a recording says: everybody's secrets,
// under each of their names; devices; sockets of the host; calls that no ordinary program makes.

// besides lists secrets of the system and of users that the profiles need not hide, because the profiles do not show
// the directories of these secrets.
var besides = [...]string{
	"/etc/sudoers", "/etc/sudoers.d", "/etc/security/opasswd", "/etc/ssh/ssh_host_*_key", "/etc/ssl/private", "/etc/pki/tls/private",
	"/etc/letsencrypt", "/etc/krb5.keytab", "/etc/wireguard", "/etc/openvpn", "/etc/NetworkManager/system-connections",
	"/etc/ppp/chap-secrets", "/etc/ppp/pap-secrets", "/etc/mysql/debian.cnf", "/etc/docker/key.json", "/etc/kubernetes", "/var/lib/kubelet",
	"/var/lib/sss/secrets", "/var/lib/NetworkManager/secret_key", "/var/lib/bluetooth", "/var/lib/systemd/credential.secret", "/run/credentials", "/run/secrets",
	"~/.pgpass", "~/.my.cnf", "~/.vault-token", "~/.config/rclone", "~/.config/op", "~/.config/sops", "~/.terraform.d/credentials.tfrc.json",
	"~/.local/share/kwalletd", "~/.pki", "~/.thunderbird", "~/.config/BraveSoftware", "~/.config/hub", "~/.m2/settings.xml", "~/.gradle/gradle.properties",
}

// Besides lists patterns of files that Learn treats as secrets in addition to Options.Secrets.
func Besides() []string { return slices.Clone(besides[:]) }

// guardHomes marks secrets: the files that are secrets in any home, and the files that such names lead to.
func (s *secrets) guardHomes(f *Facts, patterns []string) {
	s.homes, s.tildes = s.w.homes, map[string]bool{}
	for _, p := range patterns {
		if rel, ok := strings.CutPrefix(p, "~/"); ok && rel != "" {
			s.tildes[path.Clean(rel)] = true
			for rel = path.Dir(rel); rel != "."; rel = path.Dir(rel) {
				if !s.tildes[rel] {
					s.tildes[rel] = false // a directory above a secret, not a secret itself
				}
			}
		}
	}
	clear(s.dirs)
	s.dirs["/"] = false
	found := []named{}
	for n := range f.named {
		if !ofInstalled(n.path) && (s.self(n.name) || s.dir(path.Dir(n.name))) {
			found = append(found, n)
		}
	}
	clear(s.dirs)
	s.dirs["/"] = false
	slices.SortFunc(found, func(a, b named) int { return strings.Compare(a.name, b.name) })
	for _, n := range found {
		s.add(n.path)
		s.names[n.path] = append(s.names[n.path], n.name)
		to := shortest(&Link{Via: n.name, Path: n.path})
		if n.link && (s.self(to.Via) || s.dir(path.Dir(to.Via))) {
			s.target(to.Path)
		}
	}
}

// target marks the file to which a secret's name leads as a secret, unless the path is so wide that nothing else could
// be allowed.
func (s *secrets) target(p string) {
	if p = place(p); strings.Count(p, "/") > 1 && !within(p, s.w.workdir) {
		s.add(p)
	}
}

// installed lists trees that contain no home.
var installed = []string{"/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin", "/nix", "/gnu", "/proc", "/sys"}

func ofInstalled(p string) bool {
	return slices.ContainsFunc(installed, func(dir string) bool { return within(dir, p) })
}

// ofHome reports whether a path is a secret because of its position in a home, and whether the path contains such a
// secret. Outside of the working directory and of the system's trees, a name like .ssh is a secret in any directory,
// because the directory may be an unknown home.
func (s *secrets) ofHome(p string) (is, holds bool) {
	if s.tildes == nil {
		return false, false
	}
	for _, rest := range inHomes(s.homes, p) {
		if rest == "" {
			holds = true
			continue
		}
		secret, above := s.tilde(rest)
		if secret {
			return true, true
		}
		holds = holds || above
	}
	if p != s.w.workdir && within(s.w.workdir, p) || ofInstalled(p) {
		return false, holds
	}
	for rel, whole := range s.tildes {
		if whole && strings.HasPrefix(rel, ".") && strings.HasSuffix(p, "/"+rel) {
			return true, true
		}
	}
	return false, holds
}

func (s *secrets) tilde(rest string) (is, holds bool) {
	whole, known := s.tildes[rest]
	if known {
		return whole, true
	}
	for rel, whole := range s.tildes {
		if ok, _ := path.Match(rel, rest); ok && whole {
			return true, true
		}
	}
	return false, false
}

// refuse returns the reason why learn does not allow a path unless the caller grants it, or "" if learn allows it
// without a grant.
func (f *files) refuse(p *Path) string {
	socket := p.Access&recording.Connect != 0 || p.Type == recording.TypeSocket
	name, gives := lint.SocketAt(p.Path)
	switch {
	case f.secrets.has(p.Path) && (p.itself || f.secrets.names[p.Path] != nil):
		return "it is a secret" + phrase.Prefixed(", by the name ", strings.Join(f.secrets.names[p.Path], ", "))
	case f.secrets.isGranted(p.Path):
		return ""
	case name != "" && p.Type != recording.TypeDir && p.Type != recording.TypeLink:
		return "it is " + name + ", which gives " + gives
	case f.w.own(p.Path) || f.below.check(p.Path, p.Access, p.Type).why == "":
		return ""
	case p.Type == recording.TypeBlock:
		return "it is a block device"
	case p.Type == recording.TypeChar, within("/dev", p.Path) && !within("/dev/shm", p.Path):
		return "it is a device of the host"
	case within("/proc", p.Path):
		return "proc shows it of the host, and the profile does not"
	case socket && !harmless(p.Path):
		return "it is a socket of the host, whose other end may do more for a program than the sandbox lets it do itself"
	}
	return ""
}

// services lists sockets at which the system answers questions of every program, or takes messages from it.
var services = []string{"/run/nscd/socket", "/run/systemd/journal", "/run/systemd/resolve", "/run/systemd/userdb", "/run/systemd/notify", "/run/log",
	"/run/sssd", "/var/lib/sss/pipes", "/run/avahi-daemon/socket"}

func harmless(p string) bool {
	if rest, ok := strings.CutPrefix(p, "/var/run/"); ok {
		p = "/run/" + rest
	}
	return slices.ContainsFunc(services, func(s string) bool { return within(s, p) })
}

// elsewhere reports whether a path is outside of the system's directories and of the working directory, so that
// programs do not usually need it. A working directory that is a home does not count.
func (f *files) elsewhere(p string) bool {
	for _, dir := range append([]string{"/etc"}, system...) {
		if within(dir, p) {
			return false
		}
	}
	return !within(f.w.workdir, p) || slices.Contains(inHomes(f.w.homes, f.w.workdir), "")
}

// foreigners adds notes about paths that were left out because they are in a directory that another recording writes as
// . or ~.
func (f *files) foreigners() {
	seen := map[string]bool{}
	for i := range f.f.foreign {
		p := &f.f.foreign[i]
		if !seen[p.Path] {
			seen[p.Path] = true
			f.leave(p)
		}
	}
}

func (f *files) leave(p *Path) {
	f.note(Note{Kind: Left, What: p.Access.String() + " " + p.Path, Why: "another recording has its working or home directory there, so that it would be another file: learn them apart", At: p.At})
}

// reaching lists calls that reach into other programs, or past the paths that a sandbox shows. Profiles deny these
// calls by not allowing them.
const reaching = `ptrace process_vm_readv process_vm_writev process_madvise kcmp pidfd_getfd name_to_handle_at fanotify_mark
	modify_ldt syslog`

// unusual reports whether ordinary programs do not make the call with these arguments. barred is true if learn
// therefore does not allow the call. This is so if the profile Ordinary denies the call explicitly or the list reaching
// contains it, and the user has not named it.
func (l *learner) unusual(c *Call) (unusual, barred bool) {
	if l.opts.Ordinary == nil || refused(c.Errno) || !filter.Known(c.Name) {
		return false, false
	}
	if slices.ContainsFunc(instead[:], func(x struct{ call, other string }) bool { return x.call == c.Name }) {
		return false, false // if this call fails, programs use another call
	}
	below, ordinary := l.outcomes(l.parentSpec, c), l.outcomes(l.ordinary, c)
	if slices.ContainsFunc(below, allowing) || len(ordinary) == 0 || slices.ContainsFunc(ordinary, allowing) {
		return false, false
	}
	said := slices.ContainsFunc(ordinary, func(o filter.Outcome) bool { return o.By != filter.ByDefault })
	return true, (said || slices.Contains(strings.Fields(reaching), c.Name)) && !slices.Contains(l.opts.Calls, c.Name)
}

func allowing(o filter.Outcome) bool { return o.Action.Passes() }

// outcomes returns the possible results of a filter for a call, for all values of the arguments that were not recorded.
// It treats a call of another architecture like the same call on the machine's own architecture.
func (l *learner) outcomes(spec filter.Spec, c *Call) []filter.Outcome {
	own := *c
	own.Arch = ""
	q := l.f.query(&own)
	if q == nil {
		return nil
	}
	found, err := filter.Ask(spec, l.f.arch(), q)
	if err != nil {
		return nil
	}
	return found
}

// bar marks the calls that learn does not allow. It adds one note for each kind of them. It also adds notes about calls
// that are unusual and still allowed.
func (l *learner) bar() {
	noted := map[string]bool{}
	for i := range l.f.Calls {
		c := &l.f.Calls[i]
		unusual, barred := l.unusual(c)
		if c.barred = barred; !unusual {
			continue
		}
		n := Note{Kind: Granted, What: "the system call " + c.Name, Why: "the profile " + l.opts.Ordinary.Name + " does not allow it", At: c.At}
		if barred {
			n = Note{Kind: Left, What: "the system call " + l.title(c), Why: "the profile " + l.opts.Ordinary.Name + " denies it, and it is not granted without --grant-call " + c.Name, At: c.At}
		}
		if !noted[n.What] {
			noted[n.What] = true
			l.note(n)
		}
	}
}

// title returns the call with the arguments that were recorded.
func (l *learner) title(c *Call) string {
	var words []string
	for _, a := range c.Args {
		words = append(words, a.Name+"="+l.spell(c.Name, a.Name, a.Value))
	}
	if len(words) == 0 {
		return c.Name
	}
	return c.Name + "(" + strings.Join(words, ", ") + ")"
}
