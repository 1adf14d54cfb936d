package policy

import (
	"strings"
	"testing"
)

// learnedFrom makes a profile as learn does: every rule has the position of a record as its source.
func learnedFrom(t *testing.T, text string) *Profile {
	t.Helper()
	p, err := Parse("a.rec", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestUpdate(t *testing.T) {
	for _, c := range []struct{ name, old, learned, want string }{
		{"what is missing is added, with its place", "# Mine.\n\nversion: 1\nsyscalls:\n  allow:\n    - read # I know why\n", "{version: 1, syscalls: {allow: [read, write]}}",
			"# Mine.\n\nversion: 1\nsyscalls:\n  allow:\n    - read # I know why\n    - write # a.rec:1\n"},
		{"a section is added", "version: 1\n", "{syscalls: {allow: [read]}}", "version: 1\nsyscalls:\n  allow:\n    - read # a.rec:1\n"},
		{"brackets open", "syscalls: {allow: [read]} # all\n", "{syscalls: {allow: [write]}}", "syscalls: # all\n  allow:\n    - read\n    - write # a.rec:1\n"},
		{"a word of a person stays", "network: none # never\ntty: none\n", "{network: host, tty: inherit}", "network: none # never\ntty: none\n"},
		{"a limit of a person stays", "limits:\n  memory: 1GiB # agreed\n", "{limits: {memory: 2GiB}}", "limits:\n  memory: 1GiB # agreed\n"},
		{"a learned limit grows", "limits:\n  memory: 1GiB # b.rec:7\n", "{limits: {memory: 2GiB}}", "limits:\n  memory: 2GiB # a.rec:1\n"},
		{"a learned limit does not shrink", "limits:\n  memory: 4GiB # b.rec:7\n", "{limits: {memory: 2GiB}}", "limits:\n  memory: 4GiB # b.rec:7\n"},
		{"a learned mount becomes writable", "mounts:\n  - {bind: /x, optional: true} # b.rec:7\n", "mounts: [{bind: /x, mode: rw, optional: true}]",
			"mounts:\n  - {bind: /x, mode: rw, optional: true} # a.rec:1\n"},
		{"a person's mount does not", "mounts:\n  - {bind: /x}\n", "mounts: [{bind: /x, mode: rw}]", "mounts:\n  - {bind: /x}\n"},
		{"a call that is allowed whole stays so", "syscalls:\n  allow:\n    - openat # b.rec:7\n", "syscalls: {allow: [openat], rules: [{openat: flags & O_WRONLY == 0}]}",
			"syscalls:\n  allow:\n    - openat # b.rec:7\n"},
		{"a group that is allowed whole stays so", "syscalls:\n  allow:\n    - \"@keyring\" # mine\n", "syscalls: {rules: [{keyctl: arg2 == 1}]}",
			"syscalls:\n  allow:\n    - \"@keyring\" # mine\n"},
		{"another call is limited", "syscalls:\n  allow:\n    - read # b.rec:7\n", "syscalls: {allow: [openat], rules: [{openat: flags & O_WRONLY == 0}]}",
			"syscalls:\n  allow:\n    - read # b.rec:7\n    - openat # a.rec:1\n  rules:\n    - {openat: flags & O_WRONLY == 0} # a.rec:1\n"},
		{"what a bound directory shows", "mounts:\n  - {bind: /usr/lib} # b.rec:7\n", "mounts: [{symlink: /usr/lib/a, to: /usr/lib/b}, {dir: /usr/lib/c}, {bind: /usr/lib/d}]",
			"mounts:\n  - {bind: /usr/lib} # b.rec:7\n"},
		{"what it does not show", "mounts:\n  - {bind: /usr/lib, target: /lib} # b.rec:7\n", "mounts: [{symlink: /usr/lib/a, to: /usr/lib/b}]",
			"mounts:\n  - {bind: /usr/lib, target: /lib} # b.rec:7\n  - {symlink: /usr/lib/a, to: /usr/lib/b} # a.rec:1\n"},
		{"what it shows only for reading", "mounts:\n  - {bind: /usr/lib} # b.rec:7\n", "mounts: [{bind: /usr/lib/d, mode: rw}]",
			"mounts:\n  - {bind: /usr/lib} # b.rec:7\n  - {bind: /usr/lib/d, mode: rw} # a.rec:1\n"},
		{"a writable mount stays so", "mounts:\n  - {bind: /x, mode: rw} # b.rec:7\n", "mounts: [{bind: /x, optional: true}]", "mounts:\n  - {bind: /x, mode: rw} # b.rec:7\n"},
		{"either rule may hold", "syscalls:\n  rules:\n    - {socket: family == AF_UNIX} # b.rec:7\n", "syscalls: {rules: [{socket: family == AF_INET}]}",
			"syscalls:\n  rules:\n    - {socket: (family == AF_UNIX) || (family == AF_INET)} # a.rec:1\n"},
		{"and the third", "syscalls:\n  rules:\n    - {socket: (family == AF_UNIX) || (family == AF_INET)} # b.rec:7\n", "syscalls: {rules: [{socket: family == AF_INET6}]}",
			"syscalls:\n  rules:\n    - {socket: (family == AF_UNIX) || (family == AF_INET) || (family == AF_INET6)} # a.rec:1\n"},
		{"once is enough", "syscalls:\n  rules:\n    - {socket: (family == AF_UNIX) || (family == AF_INET)} # b.rec:7\n", "syscalls: {rules: [{socket: family == AF_INET}]}",
			"syscalls:\n  rules:\n    - {socket: (family == AF_UNIX) || (family == AF_INET)} # b.rec:7\n"},
		{"a person's rule holds", "syscalls:\n  rules:\n    - {socket: family == AF_UNIX} # no network here\n", "syscalls: {rules: [{socket: family == AF_INET}]}",
			"syscalls:\n  rules:\n    - {socket: family == AF_UNIX} # no network here\n"},
		{"what was not seen is opened when it is", "syscalls:\n  rules:\n    # socket was not called; the rule for it that is inherited would allow it.\n    - {socket: errno(EPERM)}\n",
			"syscalls: {rules: [{socket: family == AF_INET}]}", "syscalls:\n  rules:\n    - {socket: family == AF_INET} # a.rec:1\n"},
		{"what was seen is not shut", "syscalls:\n  rules:\n    - {socket: family == AF_UNIX} # b.rec:7\n", "syscalls: {rules: [{socket: errno(EPERM)}]}",
			"syscalls:\n  rules:\n    - {socket: family == AF_UNIX} # b.rec:7\n"},
		{"a condition that does not hold any more", "syscalls:\n  allow:\n    - openat # b.rec:7\n  rules:\n    - {openat: flags & O_WRONLY == 0} # b.rec:7\n    - {kill: sig == 0} # b.rec:8\n", "syscalls: {allow: [openat]}",
			"syscalls:\n  allow:\n    - openat # b.rec:7\n  rules:\n    - {kill: sig == 0} # b.rec:8\n"},
		{"the last condition", "syscalls:\n  allow:\n    - openat # b.rec:7\n  rules:\n    - {openat: flags & O_WRONLY == 0} # b.rec:7\n", "syscalls: {allow: [openat]}",
			"syscalls:\n  allow:\n    - openat # b.rec:7\n"},
		{"a person's condition", "syscalls:\n  allow:\n    - openat # b.rec:7\n  rules:\n    - {openat: flags & O_WRONLY == 0} # never\n", "syscalls: {allow: [openat]}",
			"syscalls:\n  allow:\n    - openat # b.rec:7\n  rules:\n    - {openat: flags & O_WRONLY == 0} # never\n"},
		{"other programs were run", "syscalls:\n  allow:\n    - read\n  # No other program was executed.\n  exec: once\n", "syscalls: {allow: [execve]}",
			"syscalls:\n  allow:\n    - read\n    - execve # a.rec:1\n"},
		{"once is a person's word", "syscalls:\n  allow:\n    - read\n  exec: once # always\n", "syscalls: {allow: [execve]}",
			"syscalls:\n  allow:\n    - read\n    - execve # a.rec:1\n  exec: once # always\n"},
		{"once is not put on others", "syscalls:\n  allow:\n    - read\n", "syscalls: {allow: [read], exec: once}", "syscalls:\n  allow:\n    - read\n"},
		{"variables", "env:\n  keep: [PATH] # enough\n", "{env: {keep: [PATH, HOME]}}", "env:\n  keep: # enough\n    - PATH\n    - HOME # a.rec:1\n"},
		{"nothing new", "version: 1\n# end\n", "version: 1", "version: 1\n# end\n"},
		{"an empty file", "", "syscalls: {allow: [read]}", "syscalls:\n  allow:\n    - read # a.rec:1\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := Update("p.yaml", []byte(c.old), learnedFrom(t, c.learned), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(out); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			if _, err := Parse("p.yaml", out); err != nil {
				t.Error(err)
			}
			again, err := Update("p.yaml", out, learnedFrom(t, c.learned), nil, nil)
			if err != nil || string(again) != string(out) {
				t.Errorf("a second time: %v\n%s", err, again)
			}
		})
	}
}

// TestUpdateHead checks the comment at the top, which lists the recorded runs from which a profile comes. Update must
// not add a run that changed nothing.
func TestUpdateHead(t *testing.T) {
	old := "# Mine.\n\nsyscalls:\n  allow:\n    - read\n"
	p := learnedFrom(t, "syscalls: {allow: [write]}")
	out, err := Update("p.yaml", []byte(old), p, []string{"Learned from b.rec"}, map[string][]string{"syscalls.allow[0]": {"Seen once."}})
	if err != nil {
		t.Fatal(err)
	}
	if want := "# Mine.\n# Learned from b.rec\n\nsyscalls:\n  allow:\n    - read\n    # Seen once.\n    - write # a.rec:1\n"; string(out) != want {
		t.Errorf("%s", out)
	}
	same, err := Update("p.yaml", out, p, []string{"Learned from c.rec"}, nil)
	if err != nil || string(same) != string(out) {
		t.Errorf("%v\n%s", err, same)
	}
}

func TestUpdateRefuses(t *testing.T) {
	for _, old := range []string{"[1, 2]", "a: &x b", "a: [", "- x"} {
		if _, err := Update("p.yaml", []byte(old), &Profile{}, nil, nil); err == nil {
			t.Errorf("%q was taken", old)
		}
	}
}

// TestAnnotate checks that a comment stays on its line, whatever text somebody has put into it.
func TestAnnotate(t *testing.T) {
	p := learnedFrom(t, "{network: host, syscalls: {allow: [read]}}")
	out := string(Annotate(p, []string{"a\nsyscalls: {default: allow}", "\x1b[2J"}, map[string][]string{"network": {"", "b\rc"}, "syscalls.allow[0]": {"d"}}))
	want := "# a\\nsyscalls: {default: allow}\n# \\x1b[2J\n\nsyscalls:\n  allow:\n    # d\n    - read # a.rec:1\n\n# b\\rc\nnetwork: host # a.rec:1\n"
	if out != want {
		t.Errorf("%q", out)
	}
	if again, err := Parse("p.yaml", []byte(out)); err != nil || again.Syscalls.Default != "" || strings.Contains(out, "\x1b") {
		t.Errorf("%v\n%s", err, out)
	}
}
