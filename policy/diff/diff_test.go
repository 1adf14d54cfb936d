package diff

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"cordon/policy"
	"cordon/policy/filter"
)

// TestDiff checks every kind of change, in the given direction. With the profiles exchanged, the effect must be the
// opposite.
func TestDiff(t *testing.T) {
	for _, c := range []struct{ name, a, b, want string }{
		{"call", "syscalls: {allow: [read]}", "syscalls: {allow: [read, ptrace]}", "widens: syscalls: ptrace: errno(EPERM) → allow"},
		{"group", `syscalls: {allow: ["@swap"]}`, "syscalls: {allow: [swapon]}", "narrows: syscalls: swapoff: allow → errno(EPERM)"},
		{"deny", "syscalls: {allow: [read]}", "syscalls: {allow: [read], deny: [read]}", "narrows: syscalls: read: allow → errno(EPERM)"},
		{"rule", "syscalls: {rules: [{socket: family == AF_UNIX}]}", "syscalls: {rules: [{socket: 'in(family, AF_UNIX, AF_VSOCK)'}]}",
			"widens: syscalls: socket(family=AF_VSOCK), for example: errno(EPERM) → allow"},
		{"errno", "syscalls: {allow: [read]}", "syscalls: {default: kill, allow: [read]}", "alters: syscalls: write: errno(EPERM) → kill"},
		{"log", "syscalls: {default: log}", "syscalls: {default: allow}", "alters: syscalls: write: log → allow"},
		{"unknown", "version: 1", "syscalls: {unknown: allow}", "widens: syscalls.unknown: errno(ENOSYS) → allow"},
		{"arch", "version: 1", "syscalls: {arches: [native, i386]}", "widens: syscalls.arches: i386"},
		{"exec", "version: 1", "syscalls: {exec: once}", "narrows: syscalls.exec: any → once"},
		{"bind", "version: 1", "mounts: [{bind: /etc}]", "widens: mounts: /etc: nothing → the host's /etc"},
		{"writable", "mounts: [{bind: /etc}]", "mounts: [{bind: /etc, mode: rw}]", "widens: mounts: /etc: the host's /etc → the host's /etc, writable"},
		{"noexec", "mounts: [{bind: /etc}]", "mounts: [{bind: /etc, noexec: true}]", "narrows: mounts: /etc: the host's /etc → the host's /etc, not executable"},
		{"unfit", "mounts: [{bind: /etc, unfit: refuse}]", "mounts: [{bind: /etc}]", "widens: mounts: /etc: the host's /etc, but not where nobody works (refuse) → the host's /etc"},
		{"unfit, left out", "mounts: [{bind: /etc, unfit: skip}]", "mounts: [{bind: /etc, unfit: bind}]", "widens: mounts: /etc: the host's /etc, but not where nobody works (skip) → the host's /etc"},
		{"other source", "mounts: [{bind: /a, target: /x}]", "mounts: [{bind: /b, target: /x}]", "widens: mounts: /x: the host's /a → the host's /b"},
		{"cover", "mounts: [{bind: /a}]", "mounts: [{bind: /a}, {tmpfs: /a/b}]", "narrows: mounts: /a/b: the host's /a/b → an empty tmpfs"},
		{"order", "mounts: [{bind: /a}, {tmpfs: /a/b}]", "mounts: [{tmpfs: /a/b}, {bind: /a}]", "widens: mounts: /a/b: an empty tmpfs → the host's /a/b"},
		{"tmpfs", "mounts: [{tmpfs: /a}]", "mounts: [{tmpfs: /a, size: 1MiB}]", "narrows: mounts: /a: an empty tmpfs → an empty tmpfs of 1MiB"},
		{"proc", "version: 1", "mounts: [{proc: /proc}]", "widens: mounts: /proc: nothing → proc"},
		{"masks", "mounts: [{proc: /proc}]", "mounts: [{proc: /proc, mask: []}]", "widens: mounts: /proc: proc → proc with the usual read-only paths and no more"},
		{"hidepid", "mounts: [{proc: /proc}]", "mounts: [{proc: /proc, hidepid: invisible}]", "narrows: mounts: /proc: proc → proc with hidepid invisible"},
		{"root", "version: 1", "root: {host: ro}", "widens: root: /: nothing → the host's /"},
		{"root dir", "root: {dir: /a}", "root: {dir: /a, mode: rw}", "widens: root: /: the host's /a → the host's /a, writable"},
		{"overlay", "root: {host: ro}", "root: {host: ro, overlay: tmp}", "alters: root: /: the host's / → the host's /, under an overlay, its changes in tmp"},
		{"hide", "version: 1", "hide: [/x]", "narrows: hide: /x"},
		{"env", "version: 1", "env: {keep: [X]}", "widens: env.keep: X"},
		{"set", "env: {set: {X: a}}", "env: {set: {X: b}}", "alters: env.set: X=b"},
		{"cap", "version: 1", "capabilities: {keep: [NET_RAW]}", "widens: capabilities.keep: NET_RAW"},
		{"missing", "version: 1", "missing: [landlock]", "widens: missing: landlock"},
		{"landlock", "version: 1", "landlock: off", "widens: landlock: on → off"},
		{"landlock list", "version: 1", "landlock: {write: [/tmp]}", "narrows: landlock.write: all that the mounts show → /tmp"},
		{"landlock path", "landlock: {write: [/tmp]}", "landlock: {write: [/tmp, /x]}", "widens: landlock.write: /x"},
		{"scope", "version: 1", "landlock: {scope: []}", "widens: landlock.scope: not any more: signal"},
		{"network", "version: 1", "network: host", "widens: network: none → host"},
		{"namespace", "version: 1", "namespaces: {pid: host}", "widens: namespaces.pid: new → host"},
		{"join", "namespaces: {net: /run/a}", "namespaces: {net: /run/b}", "widens: namespaces.net: /run/a → /run/b"},
		{"limit", "version: 1", "limits: {wall: 5m}", "narrows: limits.wall: none → 5m"},
		{"more", "limits: {memory: 1GiB}", "limits: {memory: 2GiB}", "widens: limits.memory: 1GiB → 2GiB"},
		{"rlimit", "limits: {rlimits: {nofile: 10}}", "limits: {rlimits: {nofile: 5}}", "narrows: limits.rlimits: nofile: 10 → 5"},
		{"user", "version: 1", "user: {host: caller}", "widens: user.host: auto → caller"},
		{"uid", "version: 1", "user: {uid: 5}", "alters: user.uid: keep → 5"},
		{"root", "user: {uid: 1000}", "user: {uid: 0}", "widens: user.uid: 1000 → 0"},
		{"root's group", "version: 1", "user: {gid: 0}", "widens: user.gid: keep → 0"},
		{"a tmpfs that becomes read-only", "mounts: [{tmpfs: /a}]", "mounts: [{empty: /a}]", "narrows: mounts: /a: an empty tmpfs → an empty directory, read-only"},
		{"an empty directory that becomes writable", "mounts: [{empty: /a}]", "mounts: [{tmpfs: /a, size: 1MiB}]", "widens: mounts: /a: an empty directory, read-only → an empty tmpfs of 1MiB"},
		{"an empty directory that is shown", "mounts: [{empty: /a}]", "mounts: [{bind: /a}]", "widens: mounts: /a: an empty directory, read-only → the host's /a"},
		{"exec of a tmpfs", "mounts: [{tmpfs: /a, noexec: true}]", "mounts: [{tmpfs: /a}]", "widens: mounts: /a: an empty tmpfs, not executable → an empty tmpfs"},
		{"mode of a tmpfs", "mounts: [{tmpfs: /a, mode: \"0700\"}]", "mounts: [{tmpfs: /a, mode: \"1777\"}]", "widens: mounts: /a: an empty tmpfs with mode 0700 → an empty tmpfs with mode 1777"},
		{"size of a tmpfs", "mounts: [{tmpfs: /a, size: 1MiB}]", "mounts: [{tmpfs: /a, size: 2MiB}]", "widens: mounts: /a: an empty tmpfs of 1MiB → an empty tmpfs of 2MiB"},
		{"upper", "mounts: [{overlay: /a, upper: ./up}]", "mounts: [{overlay: /a, upper: ~/.ssh}]", "widens: mounts: /a: the host's /a, writable, its changes in ./up → the host's /a, writable, its changes in ~/.ssh"},
		{"upper of the root", "root: {host: ro, overlay: ./a}", "root: {host: ro, overlay: ~/.ssh}",
			"widens: root: /: the host's /, writable, under an overlay, its changes in ./a → the host's /, writable, under an overlay, its changes in ~/.ssh"},
		{"content", "mounts: [{file: /a, content: xy}]", "mounts: [{file: /a, content: xz}]", `alters: mounts: /a: a file that says "xy" → a file that says "xz"`},
		{"long content", "mounts: [{file: /a, content: '" + strings.Repeat("x", 50) + "a'}]", "mounts: [{file: /a, content: '" + strings.Repeat("x", 50) + "b'}]",
			"alters: mounts: /a: a file that says 51 bytes, checksum cf6d311a39d4ca04 → a file that says 51 bytes, checksum cf6d341a39d4cf1d"},
		{"mode of a file", "mounts: [{file: /a}]", "mounts: [{file: /a, mode: \"0666\"}]", `widens: mounts: /a: a file that says "" → a file that says "" with mode 0666`},
		{"optional", "mounts: [{tmpfs: /a}]", "mounts: [{tmpfs: /a, optional: true}]", "widens: mounts: /a: an empty tmpfs → an empty tmpfs, or nothing if that cannot be had"},
		{"order of home and others", "mounts: [{bind: ~/x}, {tmpfs: /srv}]", "mounts: [{tmpfs: /srv}, {bind: ~/x}]", "widens: mounts: order: ~/x, then /srv → /srv, then ~/x"},
		{"order of here and home", "mounts: [{tmpfs: ~/x}, {bind: .}]", "mounts: [{bind: .}, {tmpfs: ~/x}]", "narrows: mounts: order: ~/x, then . → ., then ~/x"},
		{"enter", "root: {host: ro}", "root: {host: ro, enter: chroot}", "widens: root.enter: pivot → chroot"},
		{"code by a variable", "version: 1", "env: {set: {LD_PRELOAD: /x.so}}", "widens: env.set: LD_PRELOAD=/x.so"},
		{"other code by a variable", "env: {set: {PATH: /a}}", "env: {set: {PATH: /b}}", "widens: env.set: PATH=/b"},
		{"io", "limits: {io: {/dev/sda: rbps=1MiB}}", "limits: {io: {/dev/sda: rbps=2MiB}}", "widens: limits.io: /dev/sda rbps: 1MiB → 2MiB"},
		{"io no more", "limits: {io: {/dev/sda: rbps=1MiB wiops=5}}", "limits: {io: {/dev/sda: rbps=1MiB}}", "widens: limits.io: /dev/sda wiops: 5 → not set"},
		{"hugetlb", "limits: {hugetlb: {2MiB: 64MiB}}", "limits: {hugetlb: {2MiB: 128MiB}}", "widens: limits.hugetlb: 2MiB: 64MiB → 128MiB"},
		{"hugetlb set", "version: 1", "limits: {hugetlb: {2MiB: 0}}", "narrows: limits.hugetlb: 2MiB: not set → 0"},
		{"weight", "version: 1", "limits: {cpu-weight: 200}", "widens: limits.cpu-weight: 100 → 200"},
		{"processors", "limits: {cpuset: \"0\"}", "limits: {cpuset: 0-1}", "widens: limits.cpuset: 0 → 0-1"},
		{"cgroup", "limits: {cgroup: /a}", "limits: {cgroup: /b}", "widens: limits.cgroup: /a → /b"},
		{"nice", "process: {nice: 5}", "process: {nice: -5}", "widens: process.nice: 5 → -5"},
		{"oom", "process: {oom-score-adj: 5}", "process: {oom-score-adj: -5}", "widens: process.oom-score-adj: 5 → -5"},
		{"umask", "process: {umask: \"0077\"}", "process: {umask: \"0022\"}", "widens: process.umask: 0077 → 0022"},
		{"tty", "tty: none", "tty: inherit", "widens: tty: none → inherit"},
		{"hostname", "version: 1", "hostname: x", "alters: hostname: cordon → x"},
		{"report", "version: 1", "on-denial: report", "alters: on-denial: silent → report"},
		{"time", "version: 1", "namespaces: {time: new}", "alters: namespaces.time: host → new"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := read(t, c.a), read(t, c.b)
			there, back := changes(t, a, b), changes(t, b, a)
			if !slices.ContainsFunc(there, func(x Change) bool { return x.String() == c.want }) {
				t.Errorf("no %q in %v", c.want, lines(there))
			}
			opposite := map[Effect]Effect{Widens: Narrows, Narrows: Widens, Alters: Alters}
			for _, x := range there {
				if !slices.ContainsFunc(back, func(y Change) bool { return y.Effect == opposite[x.Effect] && y.Section == x.Section }) {
					t.Errorf("%s, and back %v", &x, lines(back))
				}
			}
			if same := changes(t, b, b); len(same) > 0 {
				t.Errorf("from itself: %v", lines(same))
			}
		})
	}
}

func changes(t *testing.T, a, b *policy.Profile) []Change {
	t.Helper()
	list, err := Compare(a, b, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func lines(list []Change) (out []string) {
	for i := range list {
		out = append(out, list[i].String())
	}
	return out
}

// TestDiffEqual checks that other words with the same meaning are not a change.
func TestDiffEqual(t *testing.T) {
	for _, c := range []struct{ name, a, b string }{
		{"group written out", `syscalls: {allow: ["@swap"]}`, "syscalls: {allow: [swapoff, swapon]}"},
		{"default said", "version: 1", `{hostname: cordon, tty: none, network: none, syscalls: {default: errno(EPERM), unknown: errno(ENOSYS), exec: any}, root: {empty: true}}`},
		{"rule spelled otherwise", "syscalls: {rules: [{socket: 'in(family, AF_UNIX, AF_INET)'}]}", "syscalls: {rules: [{socket: family == 2 || family == AF_UNIX}]}"},
		{"two rules and one", "syscalls: {rules: [{kill: sig != SIGKILL}, {kill: sig != SIGSTOP}]}", "syscalls: {rules: [{kill: '!in(sig, SIGKILL, SIGSTOP)'}]}"},
		{"allowed and ruled", "syscalls: {allow: [socket], rules: [{socket: family == AF_UNIX}]}", "syscalls: {rules: [{socket: family == AF_UNIX}]}"},
		{"denied anyway", "syscalls: {deny: [read]}", "syscalls: {allow: [read], deny: [read]}"},
		{"names", "{name: a, about: x}", "{name: b, about: y}"},
		{"order of lists", "{env: {keep: [A, B]}, capabilities: {keep: [CHOWN, KILL]}}", "{env: {keep: [B, A]}, capabilities: {keep: [KILL, CHOWN]}}"},
		{"the same mount twice", "mounts: [{bind: /a}]", "mounts: [{bind: /a}, {bind: /a}]"},
		{"beneath the same", "mounts: [{bind: /a}]", "mounts: [{bind: /a}, {bind: /a/b}]"},
		{"covered whole", "mounts: [{bind: /a}]", "mounts: [{bind: /b, target: /a/x}, {bind: /a}]"},
		{"pattern", `env: {keep: ["LC_*"]}`, `env: {keep: ["LC_*", LC_ALL]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := changes(t, read(t, c.a), read(t, c.b)); len(got) > 0 {
				t.Errorf("%v", lines(got))
			}
		})
	}
}

// TestDiffKnowsEveryKey checks that every key of the language makes a difference, except keys that are only names.
func TestDiffKnowsEveryKey(t *testing.T) {
	empty := read(t, "version: 1")
	for _, k := range policy.Language() {
		if k.Example == "" || slices.Contains([]string{"version", "name", "about", "extends"}, k.Path) {
			continue
		}
		section, name, nested := strings.Cut(k.Path, ".")
		text := section + ": " + k.Example
		if nested {
			text = section + ": {" + name + ": " + k.Example + "}"
		}
		p, err := policy.Parse("p.yaml", []byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if slices.Equal(policy.Show(p), policy.Show(empty)) || k.Example == k.Default || strings.Contains(k.Default, k.Example) {
			continue
		}
		if len(changes(t, empty, p)) == 0 {
			t.Errorf("%s makes no difference", text)
		}
	}
}

// TestDiffSimulated runs both filters on random arguments and on arguments at the edges of rules. Filters that behave
// differently must have a change in the list. Filters without a change must behave alike.
func TestDiffSimulated(t *testing.T) {
	pairs := [][2]string{
		{"syscalls: {rules: [{clone: flags & CLONE_NEWUSER == 0}, {ioctl: uint32(cmd) != TIOCSTI}]}", "syscalls: {rules: [{clone: flags & CLONE_NEW_ANY == 0}, {ioctl: 'in(uint32(cmd), TCGETS, TIOCGWINSZ)'}]}"},
		{"syscalls: {rules: [{socket: family == AF_UNIX || family == AF_INET && type & 0xf == SOCK_STREAM}]}", "syscalls: {rules: [{socket: family < 11}]}"},
		{"syscalls: {allow: [kill], rules: [{prctl: op > 5}]}", "syscalls: {rules: [{kill: sig == 0}, {prctl: op >= 6}]}"},
	}
	random := rand.New(rand.NewPCG(1, 2))
	for _, pair := range pairs {
		a, b := read(t, pair[0]), read(t, pair[1])
		changed := map[string]bool{}
		for _, c := range changes(t, a, b) {
			call, _, _ := strings.Cut(c.What, "(")
			changed[call+": "+c.From+" → "+c.To] = true
		}
		one, two := compiled(t, a), compiled(t, b)
		seen := map[string]bool{}
		values := []uint64{0, 1, 2, 3, 5, 6, 7, 10, 11, 12, 0x5401, 0x5412, 0x5413, 1 << 28, 1 << 29, 1<<32 - 1, 1 << 32}
		for _, call := range []string{"clone", "ioctl", "socket", "kill", "prctl", "read"} {
			nr, _ := filter.Number(filter.AMD64, call)
			for range 20000 {
				d := filter.Data{Nr: int32(nr), Arch: filter.AMD64.Audit()}
				for i := range d.Args {
					if d.Args[i] = values[random.IntN(len(values))]; random.IntN(4) == 0 {
						d.Args[i] = random.Uint64()
					}
				}
				if x, y := one.Action(&d), two.Action(&d); x != y {
					seen[call+": "+x.String()+" → "+y.String()] = true
				}
			}
		}
		for s := range seen {
			if !changed[s] {
				t.Errorf("%v: the filters differ in %s, the comparison says %v", pair, s, changed)
			}
		}
		for s := range changed {
			if !seen[s] {
				t.Errorf("%v: said to differ in %s, the filters differ in %v", pair, s, seen)
			}
		}
	}
}

func compiled(t *testing.T, p *policy.Profile) *filter.Program {
	t.Helper()
	spec, err := p.Filter()
	if err != nil {
		t.Fatal(err)
	}
	program, err := filter.Compile(spec, filter.AMD64)
	if err != nil {
		t.Fatal(err)
	}
	return program
}

func read(t *testing.T, text string) *policy.Profile {
	t.Helper()
	p, err := policy.Parse("p.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return p
}
