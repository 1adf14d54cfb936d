package policy

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func parse(t *testing.T, file, text string) *Profile {
	t.Helper()
	p, err := Parse(file, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestMerge checks each rule of merging. It compares the text that Show returns for the result, which names the file of
// each value.
func TestMerge(t *testing.T) {
	for _, c := range []struct{ name, base, over, want string }{
		{"a later scalar wins", "hostname: a\ntty: inherit\n", "hostname: b\n", "hostname: b # over:1\ntty: inherit # base:2\n"},
		{"an unset scalar does not", "hostname: a\n", "tty: none\n", "hostname: a # base:1\ntty: none # over:1\n"},
		{"a default counts when it is said", "tty: inherit\n", "tty: none\n", "tty: none # over:1\n"},
		{"user.uid keep counts", "user: {uid: 0}\n", "user: {uid: keep}\n", "user:\n  uid: keep # over:1\n"},
		{"namespaces one by one", "namespaces: {net: /x, pid: host}\n", "namespaces: {pid: new}\n", "namespaces:\n  pid: new # over:1\n  net: /x # base:1\n"},
		{"time as a whole", "namespaces: {time: {boottime: 1h}}\n", "namespaces: {time: {monotonic: 2h}}\n", "namespaces:\n  time: {monotonic: 2h} # over:1\n"},
		{"limits one by one", "limits: {wall: 1m, swap: 1}\n", "limits: {wall: 2m}\n", "limits:\n  swap: 1 # base:1\n  wall: 2m # over:1\n"},
		{"process one by one", "process: {nice: 1, umask: \"0022\"}\n", "process: {nice: 0}\n", "process:\n  umask: \"0022\" # base:1\n  nice: 0 # over:1\n"},
		{"root as a whole", "root: {dir: /a, overlay: tmp, enter: chroot}\n", "root: {host: ro}\n", "root: {host: ro} # over:1\n"},
		{"root to empty", "root: {host: ro}\n", "root: {empty: true}\n", "root: {empty: true} # over:1\n"},
		{"extends append", "extends: [a]\n", "extends: [b]\n", "extends: [a, b] # over:1\n"},
		{"mounts append", "mounts: [{proc: /proc}]\n", "mounts: [{proc: /proc}, {dev: /dev}]\n",
			"mounts:\n  - {proc: /proc} # base:1\n  - {proc: /proc} # over:1\n  - {dev: /dev} # over:1\n"},
		{"mounts are removed by target", "mounts: [{bind: ., mode: rw}, {bind: /a, target: /b}, {tmpfs: /tmp}]\n", "mounts: [{bind: .}, {remove: .}, {remove: /b/}]\n",
			"mounts:\n  - {tmpfs: /tmp} # base:1\n  - {bind: .} # over:1\n"},
		{"hide grows", "hide: [/a]\n", "hide: [/b]\n", "hide:\n  - /a # base:1\n  - /b # over:1\n"},
		{"env.keep appends", "env: {keep: [A]}\n", "env: {keep: [B]}\n", "env:\n  keep:\n    - A # base:1\n    - B # over:1\n"},
		{"env.set merges by name", "env: {set: {A: \"1\", B: \"2\"}}\n", "env: {set: {C: \"4\", A: \"3\"}}\n",
			"env:\n  set:\n    A: \"3\" # over:1\n    B: \"2\" # base:1\n    C: \"4\" # over:1\n"},
		{"env is removed from both", "env: {keep: [A, B], set: {A: x}}\n", "env: {remove: [A]}\n", "env:\n  keep:\n    - B # base:1\n"},
		{"capabilities append", "capabilities: {keep: [CHOWN]}\n", "capabilities: {keep: [KILL], ambient: [KILL]}\n",
			"capabilities:\n  keep:\n    - CHOWN # base:1\n    - KILL # over:1\n  ambient:\n    - KILL # over:1\n"},
		{"capabilities are removed from both", "capabilities: {keep: [CHOWN, KILL], ambient: [KILL]}\n", "capabilities: {remove: [KILL]}\n",
			"capabilities:\n  keep:\n    - CHOWN # base:1\n"},
		{"allow appends", "syscalls: {allow: [read]}\n", "syscalls: {allow: [write]}\n", "syscalls:\n  allow:\n    - read # base:1\n    - write # over:1\n"},
		{"deny grows", "syscalls: {deny: [read]}\n", "syscalls: {allow: [read], deny: [write]}\n",
			"syscalls:\n  allow:\n    - read # over:1\n  deny:\n    - read # base:1\n    - write # over:1\n"},
		{"rules append", "syscalls: {rules: [{read: kill}]}\n", "syscalls: {rules: [{read: log}]}\n",
			"syscalls:\n  rules:\n    - {read: kill} # base:1\n    - {read: log} # over:1\n"},
		{"allow is removed, deny is not", "syscalls: {allow: [read, write], deny: [read]}\n", "syscalls: {remove: [read]}\n",
			"syscalls:\n  allow:\n    - write # base:1\n  deny:\n    - read # base:1\n"},
		{"a rule is removed by call and expression", "syscalls: {rules: [{read: kill}, {read: log}]}\n", "syscalls: {remove: [{read: log}]}\n",
			"syscalls:\n  rules:\n    - {read: kill} # base:1\n"},
		{"arches append", "syscalls: {arches: [native]}\n", "syscalls: {arches: [i386]}\n", "syscalls:\n  arches: [native, i386] # over:1\n"},
		{"landlock lists append", "landlock: {write: [/a]}\n", "landlock: {write: [/b], read: []}\n",
			"landlock:\n  read: []\n  write:\n    - /a # base:1\n    - /b # over:1\n"},
		{"landlock off", "landlock: {write: [/a]}\n", "landlock: off\n", "landlock: off # over:1\n"},
		{"landlock on again", "landlock: off\n", "landlock: {write: [/a]}\n", "landlock:\n  write:\n    - /a # over:1\n"},
		{"landlock is removed", "landlock: {read: [/a, /b], write: [/a]}\n", "landlock: {remove: [/a/]}\n",
			"landlock:\n  read:\n    - /b # base:1\n  write: []\n"},
		{"network's word wins", "network: host\n", "network: none\n", "network: none # over:1\n"},
		{"network's word over a list", "network: {allow: [\"a:1\"]}\n", "network: host\n", "network: host # over:1\n"},
		{"denied endpoints stay", "network: {deny: [\"a:1\"]}\n", "network: {allow: [\"b:2\"], deny: [\"c:3\"]}\n",
			"network:\n  allow:\n    - b:2 # over:1\n  deny:\n    - a:1 # base:1\n    - c:3 # over:1\n"},
		{"published ports append", "network: {publish: [\"1:2\"]}\n", "network: {publish: [\"3:4\"]}\n",
			"network:\n  publish:\n    - \"1:2\" # base:1\n    - \"3:4\" # over:1\n"},
		{"network lists append", "network: {allow: [\"a:1\"]}\n", "network: {allow: [\"b:2\"]}\n",
			"network:\n  allow:\n    - a:1 # base:1\n    - b:2 # over:1\n"},
		{"rlimits merge by name", "limits: {rlimits: {nofile: 1, core: 0}}\n", "limits: {rlimits: {nofile: 2, nproc: 3}}\n",
			"limits:\n  rlimits:\n    core: 0 # base:1\n    nofile: 2 # over:1\n    nproc: 3 # over:1\n"},
		{"io and huge pages merge by name", "limits: {io: {/dev/b: rbps=1, /dev/a: rbps=2}, hugetlb: {1GiB: 1GiB, 2MiB: 0}}\n",
			"limits: {io: {/dev/b: wbps=3}, hugetlb: {2MiB: 4MiB}}\n",
			"limits:\n  io:\n    /dev/a: rbps=2 # base:1\n    /dev/b: wbps=3 # over:1\n  hugetlb:\n    2MiB: 4MiB # over:1\n    1GiB: 1GiB # base:1\n"},
		{"and are removed", "limits: {io: {/dev/b: rbps=1, /dev/a: rbps=2}, hugetlb: {1GiB: 1GiB, 2MiB: 0}, cgroup: auto, oom-group: true}\n",
			"limits: {remove: [/dev/b, 1GiB, cgroup, oom-group]}\n",
			"limits:\n  io:\n    /dev/a: rbps=2 # base:1\n  hugetlb:\n    2MiB: 0 # base:1\n"},
		{"limits and rlimits are removed", "limits: {wall: 1m, swap: 0, rlimits: {core: 0, cpu: 1}}\n", "limits: {remove: [wall, core]}\n",
			"limits:\n  swap: 0 # base:1\n  rlimits:\n    cpu: 1 # base:1\n"},
		{"missing appends and is removed", "missing: [cgroup, landlock]\n", "missing: [{remove: cgroup}, time]\n",
			"missing:\n  - landlock # base:1\n  - time # over:1\n"},
		{"what is removed can be added again", "env: {keep: [A]}\n", "env: {remove: [A], keep: [A]}\n", "env:\n  keep:\n    - A # over:1\n"},
		{"a removal that finds nothing stays", "env: {keep: [A]}\n", "env: {remove: [B]}\n", "env:\n  remove:\n    - B # over:1\n  keep:\n    - A # base:1\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			base, over := parse(t, "base", c.base), parse(t, "over", c.over)
			base0, over0 := fmt.Sprintf("%+v", base), fmt.Sprintf("%+v", over)
			got := Merge(base, over)
			if s := string(Show(got)); s != c.want {
				t.Errorf("got\n%swant\n%s", s, c.want)
			}
			if base0 != fmt.Sprintf("%+v", base) || over0 != fmt.Sprintf("%+v", over) {
				t.Error("an argument was changed")
			}
		})
	}
}

// TestMergeOverNothing checks that a merge into an empty profile changes nothing. A removal applies to the base, not to
// its own profile, and Merge keeps it.
func TestMergeOverNothing(t *testing.T) {
	for _, text := range []string{
		"mounts: [{remove: .}, {remove: /p}, {tmpfs: /p, size: 2GB, mode: \"777\"}, {bind: ~/, optional: true}]\n",
		"missing: [{remove: cgroup}, cgroup]\n",
		"env: {remove: [A], keep: [A], set: {A: x}}\n",
		"capabilities: {remove: [KILL], keep: [KILL], ambient: [KILL]}\n",
		"syscalls: {remove: [read, native, {read: log}], allow: [read], arches: [native], rules: [{read: log}]}\n",
		"landlock: {remove: [/a, signal], read: [/a], scope: [signal]}\n",
		"limits: {remove: [wall, core], wall: 1m, rlimits: {core: 0}}\n",
		"limits: {remove: [wall]}\n",
		"{}\n",
	} {
		p := parse(t, "over", text)
		if got := Merge(&Profile{}, p); !reflect.DeepEqual(got, p) {
			t.Errorf("%sgot\n%+v\nwant\n%+v", text, got, p)
		}
	}
}

// TestMergeAssociative checks that merging is associative, so that the result does not depend on which files are merged
// first.
func TestMergeAssociative(t *testing.T) {
	a := parse(t, "a", "tty: inherit\nenv: {keep: [A, B]}\nlimits: {wall: 1m}\nroot: {host: ro}\n")
	b := parse(t, "b", "env: {remove: [A], keep: [C]}\nhostname: b\nroot: {empty: true}\n")
	c := parse(t, "c", "env: {remove: [B, C]}\ntty: none\nlimits: {remove: [wall]}\n")
	left, right := Merge(Merge(a, b), c), Merge(a, Merge(b, c))
	if !reflect.DeepEqual(left, right) {
		t.Errorf("left\n%s\nright\n%s", Show(left), Show(right))
	}
}

// TestMergeWithoutSources checks profiles that a program made, which have no sources. In them every value that is not
// zero counts as set.
func TestMergeWithoutSources(t *testing.T) {
	base := &Profile{Hostname: "a", TTY: TTYInherit, Network: Network{Mode: NetworkHost}, Root: Root{Kind: RootHost}}
	over := &Profile{Hostname: "b", Limits: Limits{PIDs: Opt[int64]{true, 5}}, Landlock: Landlock{Off: true}}
	got := Merge(base, over)
	want := &Profile{Hostname: "b", TTY: TTYInherit, Network: Network{Mode: NetworkHost}, Root: Root{Kind: RootHost},
		Limits: Limits{PIDs: Opt[int64]{true, 5}}, Landlock: Landlock{Off: true}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestExtend(t *testing.T) {
	files := map[string]string{
		"base": "env: {keep: [BASE]}\nhostname: base\n",
		"a":    "extends: [base]\nenv: {keep: [A]}\nhostname: a\n",
		"b":    "extends: [base]\nenv: {keep: [B]}\n",
		"x":    "extends: [y]\n",
		"y":    "extends: [z]\n",
		"z":    "extends: [x]\n",
		"self": "extends: [self]\n",
		"bad":  "nme: x\n",
	}
	var loaded []string
	load := func(name string) (*Profile, error) {
		loaded = append(loaded, name)
		text, ok := files[name]
		if !ok {
			return nil, &Error{Msg: "unknown profile " + Quote(name), Hint: "look"}
		}
		return Parse(name, []byte(text))
	}
	for _, c := range []struct{ name, in, want, err, loads string }{
		{"nothing", "hostname: h\n", "hostname: h # in:1\n", "", ""},
		{"one", "extends: [base]\nenv: {keep: [IN]}\n", "hostname: base # base:2\nenv:\n  keep:\n    - BASE # base:1\n    - IN # in:2\n", "", "base"},
		{"a diamond once", "extends: [a, b]\n", "hostname: a # a:3\nenv:\n  keep:\n    - BASE # base:1\n    - A # a:2\n    - B # b:2\n", "", "a base b"},
		{"named twice", "extends: [base, base]\n", "hostname: base # base:2\nenv:\n  keep:\n    - BASE # base:1\n", "", "base"},
		{"removes what is inherited", "extends: [a]\nenv: {remove: [BASE]}\n", "hostname: a # a:3\nenv:\n  keep:\n    - A # a:2\n", "", "a base"},
		{"circle", "extends: [x]\n", "", "z:1:10: extends: x -> y -> z -> x goes in a circle", "x y z"},
		{"itself", "extends: [self]\n", "", "self:1:10: extends: self -> self goes in a circle", "self"},
		{"unknown", "extends: [c]\n", "", `in:1:10: extends: unknown profile "c"; look`, "c"},
		{"wrong", "extends: [bad]\n", "", `bad:1:1: unknown key "nme"; did you mean "name"?`, "bad"},
	} {
		t.Run(c.name, func(t *testing.T) {
			loaded = nil
			p, err := Extend(parse(t, "in", c.in), load)
			if c.err != "" {
				if got := first(err); len(got) != 1 || got[0] != c.err {
					t.Fatalf("error %q, want %q", got, c.err)
				}
			} else if err != nil {
				t.Fatal(err)
			} else if got := string(Show(p)); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
			if got := strings.Join(loaded, " "); got != c.loads {
				t.Errorf("loaded %q, want %q", got, c.loads)
			}
		})
	}
}

func TestExtendBounded(t *testing.T) {
	n := 0
	_, err := Extend(&Profile{Extends: []string{"p"}}, func(string) (*Profile, error) {
		n++
		return &Profile{Extends: []string{fmt.Sprint("p", n)}}, nil
	})
	if got := first(err); len(got) != 1 || got[0] != "extends: more than 64 profiles" || n != maxProfiles {
		t.Errorf("%q after %d", got, n)
	}
	sentinel := errors.New("no such file")
	_, err = Extend(&Profile{Extends: []string{"p"}}, func(string) (*Profile, error) { return nil, sentinel })
	if got := first(err); len(got) != 1 || got[0] != `extends: "p": no such file` {
		t.Errorf("%q", got)
	}
}

func profileOf(t *testing.T, text string) *Profile {
	t.Helper()
	p, err := Parse("p.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return p
}
