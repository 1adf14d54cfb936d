package policy

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestFormat(t *testing.T) {
	long := strings.Repeat("family == AF_UNIX || ", 6) + "family == AF_INET"
	for _, c := range []struct{ name, in, want string }{
		{"canonical", example, example},
		{"keys in order", "tty: none\nname: a\nversion: 1\n", "version: 1\nname: a\ntty: none\n"},
		{"keys of sections", "env: {set: {B: x, A: z}, keep: [A], remove: [C]}\n", "env: {remove: [C], keep: [A], set: {B: x, A: z}}\n"},
		{"keys of mounts", "mounts:\n- {mode: rw,target: /b,bind: /a}\n-   noexec:   true\n    size: 1MiB\n    tmpfs: /tmp\n",
			"mounts:\n  - {bind: /a, target: /b, mode: rw}\n  - tmpfs: /tmp\n    size: 1MiB\n    noexec: true\n"},
		{"rules", "syscalls: {rules: [{else: kill, read: fd == 0}]}\n", "syscalls: {rules: [{read: fd == 0, else: kill}]}\n"},
		{"unknown keys last", "zzz: 1\nversion: 1\n", "version: 1\nzzz: 1\n"},
		{"a file in braces", "{tty: none, version: 1}", "version: 1\ntty: none\n"},
		{"quotes", "about: 'it''s'\nhostname: \"a\"\n", "about: \"it's\"\nhostname: \"a\"\n"},
		{"comments stay", "# head\n\n# of name\nname: a # tail\n# of tty\ntty: none\n# foot\n", "# head\n\n# of name\nname: a # tail\n# of tty\ntty: none\n\n# foot\n"},
		{"comments move along", "# head\n\n# of tty\ntty: none # t\n# of name\nname: a # n\n", "# head\n\n# of name\nname: a # n\n# of tty\ntty: none # t\n"},
		{"comments inside brackets", "hide: [/a, # one\n  # two\n  /b,\n  # three\n  ]\n", "hide:\n  - /a # one\n  # two\n  - /b\n  # three\n"},
		{"a comment below a list", "hide:\n  - /a\n  # - /b\ntty: none\n", "hide:\n  - /a\n  # - /b\ntty: none\n"},
		{"a comment below a key", "mounts:\n  - bind: /a\n    mode: rw\n    # of bind\n  # of mounts\ntty: none\n", "mounts:\n  - bind: /a\n    mode: rw\n    # of bind\n  # of mounts\ntty: none\n"},
		{"empty lines", "\n\nversion: 1\n\n\n\nname: a\n", "version: 1\n\nname: a\n"},
		{"tabs and spaces", "version:   1   \nhide:   [ /a ,/b ]\n", "version: 1\nhide: [/a, /b]\n"},
		{"long lists are filled", "env: {keep: [" + strings.Repeat("AAAAAAAAA, ", 12) + "B]}\n",
			"env:\n  {keep: [" + strings.Repeat("AAAAAAAAA, ", 12) + "B]}\n"},
		{"long text is folded", "syscalls:\n  rules:\n    - socket: " + long + "\n",
			"syscalls:\n  rules:\n    - socket: >-\n        family == AF_UNIX || family == AF_UNIX || family == AF_UNIX || family == AF_UNIX || family == AF_UNIX\n        || family == AF_UNIX || family == AF_INET\n"},
		{"text of many lines", "mounts:\n  - file: /a\n    content: |\n      one\n       two\n", "mounts:\n  - file: /a\n    content: |\n      one\n       two\n"},
		{"empty", "", ""},
		{"empty braces", "{ }", "{}\n"},
		{"only comments", "# a\n\n# b\n", "# a\n\n# b\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := Format("f", []byte(c.in))
			if err != nil {
				t.Fatal(err)
			}
			if string(out) != c.want {
				t.Errorf("got\n%s\nwant\n%s", out, c.want)
			}
			again, err := Format("f", out)
			if err != nil || string(again) != string(out) {
				t.Errorf("not idempotent: %v\n%s", err, again)
			}
		})
	}
}

func TestFormatErrors(t *testing.T) {
	for in, want := range map[string]string{
		"mounts:\n  - bind: /" + strings.Repeat("a", 120) + " mode ro\n": "f:2:11: the formatted value needs quotes, because a blank or a comma without quotes is an error; write \"/" + strings.Repeat("a", 79) + "…\" if it belongs to it",
		"- a\n":     "f:1:1: a profile is a mapping, not a list",
		"a: [b\n":   "f:1:4: not YAML: the ']' is missing that closes this",
		"a: &b c\n": "f:1:4: anchors and aliases are not allowed; a string that begins with & or * must be quoted: \"&b\"; to share settings use extends",
	} {
		if _, err := Format("f", []byte(in)); len(first(err)) != 1 || first(err)[0] != want {
			t.Errorf("%q: %q", in, first(err))
		}
	}
}

// TestFormatIsBounded checks that Format ends soon, whatever the input is.
func TestFormatIsBounded(t *testing.T) {
	r := strings.Repeat
	for name, in := range map[string]string{
		"comments":                r("# x\n", 150_000),
		"comments after items":    "hide:\n" + r("  - /a\n    # b\n", 40_000),
		"comments in brackets":    "hide: [\n" + r("/a, # b\n", 40_000) + "]\n",
		"comments before a brace": "hide: [/a\n" + r("# b\n", 100_000) + "]\n",
		"empty lines":             "name: a\n" + r("\n", 500_000) + "tty: none\n",
		"nested":                  "hide:\n" + r("  - - - - - - - a\n", 10_000),
	} {
		begin := time.Now()
		if out, err := Format("f", []byte(in)); err != nil || len(out) == 0 {
			t.Errorf("%s: %d bytes, %v", name, len(out), err)
		}
		if d := time.Since(begin); d > 8*time.Second {
			t.Errorf("%s took %v", name, d)
		}
	}
}

// plain returns a copy of a profile without positions.
func plain(p *Profile) *Profile {
	q := reflect.New(reflect.TypeFor[Profile]()).Elem()
	q.Set(reflect.ValueOf(*p))
	stripPos(q)
	out := q.Interface().(Profile)
	return &out
}

func stripPos(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[Pos]() {
			v.SetZero()
			return
		}
		for i := range v.NumField() {
			stripPos(v.Field(i))
		}
	case reflect.Slice:
		if v.IsNil() {
			return
		}
		c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(c, v)
		for i := range c.Len() {
			stripPos(c.Index(i))
		}
		v.Set(c)
	}
}

func TestShow(t *testing.T) {
	p := parse(t, "x.yaml", example)
	shown := Show(p)
	q, err := Parse("shown", shown)
	if err != nil {
		t.Fatalf("%v\n%s", err, shown)
	}
	if a, b := plain(p), plain(q); !reflect.DeepEqual(a, b) {
		t.Errorf("\n got %+v\nwant %+v", b, a)
	}
	for _, line := range []string{
		"hostname: box # x.yaml:22\n",
		"root: {dir: /srv/rootfs, overlay: tmp, enter: chroot} # x.yaml:5\n",
		"  - {tmpfs: /tmp, size: 1GiB, mode: \"1777\"} # x.yaml:9\n",
		"  - {bind: ., mode: rw, noexec: true, optional: true} # x.yaml:7\n",
		"  time: {monotonic: 1h, boottime: -30m} # x.yaml:23\n",
		"    CI: \"true\" # x.yaml:25\n",
		"    - {clone: flags & CLONE_NEW_ANY == 0, else: errno(EAFNOSUPPORT)} # x.yaml:36\n",
		"  cpu-time: 1h30m # x.yaml:41\n",
		"    fsize: 4GiB # x.yaml:42\n",
		"  umask: \"0022\" # x.yaml:43\n",
	} {
		if !strings.Contains(string(shown), line) {
			t.Errorf("no %q in\n%s", line, shown)
		}
	}
}

func TestShowOfNothing(t *testing.T) {
	if got := Show(&Profile{}); string(got) != "{}\n" {
		t.Errorf("%q", got)
	}
	p := &Profile{Limits: Limits{Wall: Opt[time.Duration]{true, 90 * time.Second}}}
	if got := string(Show(p)); got != "limits:\n  wall: 1m30s\n" {
		t.Errorf("%q", got)
	}
}

// TestFormatKeepsErrors checks that Format adds no quotes to a value that Parse refuses because it has none.
func TestFormatKeepsErrors(t *testing.T) {
	for _, in := range []string{
		"mounts: [{bind: ./.git mode ro, optional: true}]\n", "hide:\n  - ~/.ssh, ~/.aws\n", "env:\n  keep:\n    - A,B\n",
		"mounts:\n  - bind: ./.git\n      mode ro\n", "mounts:\n  - bind: /a #b\n", "limits:\n  io:\n    /a, b: rbps=1\n",
	} {
		out, err := Format("f", []byte(in))
		if err != nil {
			continue
		}
		if _, err := Parse("f", out); err == nil {
			t.Errorf("%q became %q, which is a profile", in, out)
		}
	}
}
