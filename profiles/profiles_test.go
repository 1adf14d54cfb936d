package profiles

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/policy/lint"
	"cordon/profiles/internal/gen"
)

// TestCompiled checks that the generated file compiled.go agrees with the profiles.
func TestCompiled(t *testing.T) {
	names, err := gen.Names(".")
	if err != nil || len(names) != len(shipped) {
		t.Fatalf("%v, %v; %d are compiled in", names, err, len(shipped))
	}
	for i, name := range names {
		own, err := gen.Own(".", name)
		if err != nil {
			t.Fatal(err)
		}
		effective, chain, err := gen.Effective(".", name)
		if err != nil {
			t.Fatal(err)
		}
		c := shipped[i]
		if c.name != name || !reflect.DeepEqual(c.own, own) || !reflect.DeepEqual(c.effective, effective) || !reflect.DeepEqual(c.chain, chain) {
			t.Errorf("%s: run go generate ./profiles", name)
		}
	}
}

// TestShippedLint checks that lint finds nothing in a shipped profile except what is intended. A comment in the profile
// gives the reason for each finding.
func TestShippedLint(t *testing.T) {
	search := Search{}
	for i := range shipped {
		name := shipped[i].name
		p, err := search.Load([]string{name}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, arch := range []string{"amd64", "arm64", "riscv64"} {
			found, err := lint.Check(p, lint.Options{File: "embedded:" + name + ".yaml", Arch: arch, Text: func(file string) []byte {
				text, err := Text(strings.TrimSuffix(strings.TrimPrefix(file, "embedded:"), ".yaml"))
				if err != nil {
					t.Errorf("%s: %v", file, err)
				}
				return text
			}})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range found {
				if f.Ignored == "" {
					t.Errorf("%s on %s: %s: %s: %s", name, arch, f.Pos, f.Rule.Code, f.Text)
				}
			}
		}
	}
}

func TestGeneratedFiles(t *testing.T) {
	for _, c := range []struct {
		file string
		make func(old []byte) ([]byte, error)
	}{
		{"compiled.go", func([]byte) ([]byte, error) { return gen.Compiled(".") }},
		{"filters.go", func([]byte) ([]byte, error) { return gen.Filters(".") }},
		{"../policy/schema.json", func([]byte) ([]byte, error) { return gen.Schema() }},
		{"../docs/profile.md", gen.Reference},
	} {
		old, err := os.ReadFile(c.file)
		if err != nil {
			t.Fatal(err)
		}
		if now, err := c.make(old); err != nil || !bytes.Equal(old, now) {
			t.Errorf("%s is not up to date (%v): run go generate ./profiles", c.file, err)
		}
	}
}

// TestShipped checks that a shipped profile is the same whether it is read from its files or from compiled.go, and that
// its filter compiles.
func TestShipped(t *testing.T) {
	s := Search{}
	for _, c := range shipped {
		t.Run(c.name, func(t *testing.T) {
			p, err := s.Load([]string{c.name}, nil)
			if err != nil {
				t.Fatal(err)
			}
			q, err := s.assemble([]string{c.name})
			q.Prebuilt = p.Prebuilt
			if err != nil || !reflect.DeepEqual(p, q) {
				t.Errorf("ready and assembled differ: %v\n%s\n%s", err, policy.Show(p), policy.Show(q))
			}
			if p.Name != c.name || p.About == "" || len(p.Remove) != 0 {
				t.Errorf("name %q, about %q, removals %v", p.Name, p.About, p.Remove)
			}
			spec, err := p.Filter()
			if err != nil {
				t.Fatal(err)
			}
			for _, arch := range []filter.Arch{filter.AMD64, filter.ARM64} {
				if _, err := filter.Compile(spec, arch); err != nil {
					t.Errorf("%v: %v", arch, err)
				}
			}
			src, err := s.Find(c.name)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(src.Data, []byte("# For ")) || !bytes.Contains(src.Data, []byte("\n# Against ")) {
				t.Error("the head does not say for whom and against what")
			}
			if out, err := policy.Format(src.File, src.Data); err != nil || !bytes.Equal(out, src.Data) {
				t.Errorf("not in canonical form: %v\n%s", err, out)
			}
		})
	}
}

// TestPrebuiltFilters checks that the prebuilt filters equal what the compiler makes, for every flag that does not
// change the system calls. No profile with other system calls may get a prebuilt filter.
func TestPrebuiltFilters(t *testing.T) {
	flags := func(pairs ...string) *policy.Profile {
		var over policy.Profile
		for i := 0; i < len(pairs); i += 2 {
			if err := policy.FromFlag(&over, pairs[i], pairs[i+1]); err != nil {
				t.Fatal(err)
			}
		}
		return &over
	}
	for _, c := range shipped {
		for _, tt := range []struct {
			over  *policy.Profile
			built bool
		}{
			{nil, true},
			{flags("rw", "/srv", "on-denial", "silent", "timeout", "1m"), true},
			{flags("allow-syscall", "keyctl"), false},
			{flags("deny-syscall", "getppid"), false},
			{flags("rule", "personality: persona == 0"), false},
			{flags("arch", "i386"), false},
			{flags("exec", "once"), false},
			{flags("cap", "FSETID"), c.name == "container"},
		} {
			p, err := Search{}.Load([]string{c.name}, tt.over)
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			spec, err := p.Filter()
			if err != nil {
				t.Fatal(err)
			}
			built := tt.built && p.Syscalls.Exec != policy.ExecOnce
			for _, arch := range []filter.Arch{filter.AMD64, filter.ARM64, filter.RISCV64} {
				for _, report := range []bool{false, true} {
					got := p.PrebuiltFilter(arch, report)
					spec.Report, spec.Own = report, "execve"
					prog, err := filter.Compile(spec, arch)
					if err != nil && built {
						t.Fatal(err)
					}
					if (got != "") != built || got != "" && got != filter.Encode(prog.Insns) {
						t.Errorf("%s %+v, %v, report %v: %d bytes, prebuilt %v", c.name, tt.over, arch, report, len(got), built)
					}
				}
			}
		}
	}
	p, err := Search{}.Load([]string{"default"}, nil)
	if err != nil || p.PrebuiltFilter(filter.I386, false) != "" {
		t.Errorf("a filter for an architecture that no launcher has; %v", err)
	}
	p.Syscalls.Allow = append([]policy.SyscallItem{{Name: "keyctl"}}, p.Syscalls.Allow...)
	if p.PrebuiltFilter(filter.AMD64, false) != "" {
		t.Error("a filter of other system calls than the profile's")
	}
	own := filepath.Join(t.TempDir(), "own.yaml")
	if err := os.WriteFile(own, []byte("version: 1\nname: own\nextends: [default]\nmounts:\n  - bind: /srv\n    optional: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err = (Search{}).Load([]string{own}, nil); err != nil || p.PrebuiltFilter(filter.AMD64, true) == "" {
		t.Errorf("a profile that extends default has no filter; %v", err)
	}
}

// TestPromises checks what the documentation promises about each shipped profile.
func TestPromises(t *testing.T) {
	load := func(name string) *policy.Profile {
		p, err := Search{}.Load([]string{name}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	denied := []string{"@keyring", "@module", "@reboot", "@swap", "@raw-io", "@obsolete", "mount", "setns", "unshare", "bpf",
		"perf_event_open", "userfaultfd", "io_uring_setup", "kexec_load", "open_by_handle_at", "settimeofday"}
	for _, c := range shipped {
		p := load(c.name)
		for _, call := range denied {
			if !hasCall(p.Syscalls.Deny, call) {
				t.Errorf("%s does not deny %s", c.name, call)
			}
		}
		for _, call := range []string{"socket", "ioctl", "clone", "clone3", "personality"} {
			if !hasRule(p.Syscalls.Rules, call) {
				t.Errorf("%s has no rule for %s", c.name, call)
			}
		}
		if r := p.Limits.Rlimits; len(r) == 0 || r[0].Name != "core" || r[0].Value != 0 {
			t.Errorf("%s allows core dumps", c.name)
		}
		if p.Network.Mode != policy.NetworkNone && c.name != "net-client" {
			t.Errorf("%s has a network", c.name)
		}
		for _, m := range p.Mounts {
			if m.Write && !((c.name == "build" || c.name == "agent") && m.Source == ".") {
				t.Errorf("%s: %s is writable", c.name, m.Source)
			}
			if home := strings.HasPrefix(m.Source, "~"); home && !m.Optional {
				t.Errorf("%s: %s may not exist", c.name, m.Source)
			}
		}
	}
	for _, name := range []string{"judge", "strict"} { // older kernels may lack parts of a layer, but no whole layer
		if m := load(name).Missing; len(m) != 1 || m[0].Layer != policy.MissingLandlockRights {
			t.Errorf("%s: missing: %v", name, m)
		}
	}
	if l := load("judge").Limits; !l.Memory.Set || !l.Swap.Set || l.Swap.V != 0 || !l.PIDs.Set || !l.Wall.Set || !l.CPUTime.Set || !l.Output.Set {
		t.Errorf("judge: %+v", l)
	}
	last := map[string]bool{} // maps a target to whether the last mount there is writable
	for _, m := range load("agent").Mounts {
		last[m.Source] = m.Write
	}
	if load("agent").Git != policy.GitProtect {
		t.Error("agent: repositories can be written")
	}
	for _, path := range []string{"./.husky", "./.vscode", "./.envrc"} {
		if write, bound := last[path]; !bound || write {
			t.Errorf("agent: %s is bound: %v, writable: %v", path, bound, write)
		}
	}
	if p := load("strict"); p.Syscalls.Default != "kill" || p.Root.Kind != policy.RootEmpty || len(p.Env.Keep) != 0 {
		t.Errorf("strict: %s", policy.Show(p))
	}
	if p := load("container"); len(p.Capabilities.Keep) != 14 || p.User.UID != (policy.Opt[uint32]{Set: true}) {
		t.Errorf("container: %s", policy.Show(p))
	}
	for _, name := range []string{"default", "build", "net-client"} {
		m := load(name).Mounts
		if last := m[len(m)-1]; last.Source != "." || len(load(name).Missing) != 2 {
			t.Errorf("%s: the working directory is not the last mount: %+v", name, last)
		}
	}
}

// TestNoTCPProtocols checks what the filter of each shipped profile decides about setsockopt(2): with TCP_ULP (31), and
// with TCP_NODELAY (1).
func TestNoTCPProtocols(t *testing.T) {
	arch, _ := filter.ParseArch("amd64")
	for _, c := range shipped {
		p, err := Search{}.Load([]string{c.name}, nil)
		if err != nil {
			t.Fatal(err)
		}
		spec, err := p.ProgramFilter()
		if err != nil {
			t.Fatal(err)
		}
		prog, err := filter.Compile(spec, arch)
		if err != nil {
			t.Fatal(err)
		}
		action := func(option uint64) string {
			a := prog.Action(&filter.Data{Nr: 54, Arch: arch.Audit(), Args: [6]uint64{3, 6, option, 0, 4}})
			return a.String()
		}
		if got, other := action(31), action(1); got != "errno(ENOENT)" && (got != other || got == "allow") {
			t.Errorf("%s: TCP_ULP: %s, TCP_NODELAY: %s", c.name, got, other)
		}
	}
}

func hasCall(list []policy.SyscallItem, name string) bool {
	for _, x := range list {
		if x.Name == name {
			return true
		}
	}
	return false
}

func hasRule(list []policy.SyscallRule, call string) bool {
	for _, x := range list {
		if x.Call == call {
			return true
		}
	}
	return false
}

// dirs returns a search through a user's and a system's directory. content maps "user/NAME" and "system/NAME" to the
// text of the file.
func dirs(t *testing.T, content map[string]string) Search {
	t.Helper()
	root := t.TempDir()
	for name, text := range content {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Search{Dirs: []string{root + "/user", root + "/system"}, Home: root}
}

func TestSearchOrder(t *testing.T) {
	s := dirs(t, map[string]string{
		"user/mine.yaml":     "about: user's\n",
		"system/mine.yaml":   "about: system's\n",
		"system/site.yaml":   "extends: [default]\nabout: site\nhostname: site\n",
		"user/default.yaml":  "extends: [default]\nhostname: user\n",
		"system/build.yaml":  "extends: [build]\nhostname: first\n",
		"user/build.yaml":    "extends: [build]\nenv: {set: {X: y}}\n",
		"dir/file.yaml":      "extends: [./sub/other.yaml]\nhostname: file\n",
		"dir/sub/other.yaml": "extends: [./third.yaml]\nabout: other\n",
		"dir/sub/third.yaml": "tty: inherit\n",
	})
	for _, c := range []struct {
		name  string
		refs  []string
		check func(p *policy.Profile) bool
	}{
		{"the user's before the system's", []string{"mine"}, func(p *policy.Profile) bool { return p.About == "user's" && p.Name == "mine" }},
		{"the system's", []string{"site"}, func(p *policy.Profile) bool { return p.Hostname == "site" && p.Name == "site" }},
		{"an override reaches what extends it", []string{"net-client"}, func(p *policy.Profile) bool { return p.Hostname == "user" && p.Name == "net-client" }},
		{"an own name is what it shadows", []string{"default"}, func(p *policy.Profile) bool {
			return p.Hostname == "user" && p.Root.Kind == policy.RootHost && p.Name == "default"
		}},
		{"through every layer", []string{"build"}, func(p *policy.Profile) bool {
			return p.Hostname == "first" && len(p.Env.Set) == 2 && len(p.Mounts) > 10
		}},
		{"a file and what is beside it", []string{s.Home + "/dir/file.yaml"}, func(p *policy.Profile) bool {
			return p.Hostname == "file" && p.About == "other" && p.TTY == policy.TTYInherit && p.Name == "file"
		}},
		{"a file at home", []string{"~/dir/sub/third.yaml"}, func(p *policy.Profile) bool { return p.TTY == policy.TTYInherit }},
		{"two", []string{"site", "mine"}, func(p *policy.Profile) bool { return p.About == "user's" && p.Hostname == "site" && p.Name == "mine" }},
		{"shared bases once", []string{"default", "site", "default"}, func(p *policy.Profile) bool {
			return p.Hostname == "site" && strings.Count(string(policy.Show(p)), "proc: /proc") == 1
		}},
	} {
		p, err := s.Load(c.refs, nil)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if !c.check(p) {
			t.Errorf("%s: name %q\n%s", c.name, p.Name, policy.Show(p))
		}
	}
}

func TestLoadErrors(t *testing.T) {
	s := dirs(t, map[string]string{
		"user/wrong.yaml":  "tty: x\nhostname: 1\n",
		"user/circle.yaml": "extends: [round]\n",
		"user/round.yaml":  "extends: [circle]\n",
		"user/lost.yaml":   "extends: [gone]\n",
		"user/clash.yaml":  "hostname: a\nnamespaces: {uts: host}\n",
		"user/self.yaml":   "extends: [self]\n",
		"dir/x.yaml":       "extends: [./gone.yaml]\n",
	})
	user := s.Dirs[0]
	if err := os.Symlink("/nowhere/at/all", user+"/dangles.yaml"); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(user + "/dangles.yaml")
	for _, c := range []struct{ ref, want string }{
		{"dangles", `unknown profile "dangles"; ` + user + `/dangles.yaml is a link that leads nowhere, to "/nowhere/at/all"`},
		{"defaul", `unknown profile "defaul"; did you mean "default"?`},
		{"", `unknown profile ""; there is agent, base, build, circle, clash, container, dangles, default, judge, lost, net-client, round, self, strict, wrong`},
		{"profiles.go", `unknown profile "profiles.go"; did you mean the file? write ./profiles.go`},
		{"a\x1b[2Jb", `unknown profile "a\x1b[2Jb"; there is agent, base, build, circle, clash, container, dangles, default, judge, lost, net-client, round, self, strict, wrong`},
		{"./gone.yaml", `profile "./gone.yaml": no such file or directory`},
		{s.Home + "/dir", `profile "` + s.Home + `/dir": is a directory`},
		{s.Home + "/dir/x.yaml", s.Home + `/dir/x.yaml:1:10: extends: profile "` + s.Home + `/dir/gone.yaml": no such file or directory`},
		{"wrong", user + "/wrong.yaml:1:6: tty: \"x\" is not known here; it is none, inherit or broker\n    tty: x\n         ^\n" +
			user + "/wrong.yaml:2:11: hostname: want a string, not a number; write \"1\"\n    hostname: 1\n              ^"},
		{"circle", user + `/round.yaml:1:10: extends: circle -> round -> circle goes in a circle`},
		{"lost", user + `/lost.yaml:1:10: extends: unknown profile "gone"; there is`},
		{"self", user + `/self.yaml:1:10: extends: unknown profile "self"; there is`},
		{"clash", user + "/clash.yaml:1:11: hostname: it needs a new uts namespace; drop it, or namespaces.uts\n    hostname: a\n              ^"},
	} {
		_, err := s.Load([]string{c.ref}, nil)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q:\n got %v\nwant %s", c.ref, err, c.want)
		}
	}
}

func TestLoadWithFlags(t *testing.T) {
	over := &policy.Profile{}
	for _, f := range [][2]string{{"hostname", "h"}, {"rw", "src"}, {"net", "host"}} {
		if err := policy.FromFlag(over, f[0], f[1]); err != nil {
			t.Fatal(err)
		}
	}
	p, err := Search{}.Load([]string{"default"}, over)
	if err != nil {
		t.Fatal(err)
	}
	last := p.Mounts[len(p.Mounts)-1]
	if p.Hostname != "h" || last.Source != "./src" || !last.Write || p.Network.Mode != policy.NetworkHost || p.Name != "default" {
		t.Errorf("%s", policy.Show(p))
	}
	again, _ := Search{}.Load([]string{"default"}, nil)
	if again.Hostname != "" || len(again.Mounts) == len(p.Mounts) {
		t.Error("a flag stuck to the shipped profile")
	}
	if err := policy.FromFlag(over, "net-allow", "a:1"); err != nil {
		t.Fatal(err)
	}
	_, err = Search{}.Load([]string{"default"}, over)
	if want := `--net-allow a:1: network: a list, but namespaces.net is not new; drop one of them; the other is in "--net host"`; err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

func TestValidateErrorsShowShippedLines(t *testing.T) {
	over := &policy.Profile{}
	if err := policy.FromFlag(over, "ns", "ipc=host"); err != nil {
		t.Fatal(err)
	}
	_, err := Search{}.Load([]string{"container"}, over)
	if err == nil || !strings.Contains(err.Error(), "embedded:container.yaml:") || !strings.Contains(err.Error(), "\n      - {mqueue: /dev/mqueue}\n        ^") {
		t.Errorf("%v", err)
	}
}

func TestDefaultSearch(t *testing.T) {
	for _, c := range []struct{ home, xdg, want string }{
		{"/h", "", "/h/.config/cordon/profiles " + SystemDir},
		{"/h", "/x", "/x/cordon/profiles " + SystemDir},
		{"/h", "x", "/h/.config/cordon/profiles " + SystemDir},
		{"", "", SystemDir},
		{"h", "", SystemDir},
	} {
		s := DefaultSearch(func(name string) string { return map[string]string{"HOME": c.home, "XDG_CONFIG_HOME": c.xdg}[name] })
		if got := strings.Join(s.Dirs, " "); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// TestUnreadableOverride checks that an unreadable profile is an error, even if a shipped profile has the same name. If
// the user has no home, no such profile can exist, and the shipped one is used.
func TestUnreadableOverride(t *testing.T) {
	s := dirs(t, map[string]string{"user/x": ""})
	if err := os.Mkdir(s.Dirs[0]+"/base.yaml", 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := s.Load([]string{"default"}, nil)
	if want := `extends: profile "` + s.Dirs[0] + `/base.yaml": is a directory`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v\nwant %s", err, want)
	}
	s = Search{Dirs: []string{"/dev/null/cordon/profiles"}}
	if _, err := s.Load([]string{"default"}, nil); err != nil {
		t.Error(err)
	}
	if _, err := s.Find("default"); err != nil {
		t.Error(err)
	}
}

func TestList(t *testing.T) {
	s := dirs(t, map[string]string{"user/base.yaml": "about: mine\n", "user/bad.yaml": "x: y\n", "user/note.txt": ""})
	var got []string
	for _, i := range s.List() {
		if i.Name == "base" && (i.About != "mine" || i.File != s.Dirs[0]+"/base.yaml") || i.Name == "bad" && i.Err == nil {
			t.Errorf("%+v", i)
		}
		got = append(got, i.Name)
	}
	if want := "agent bad base build container default judge net-client strict"; strings.Join(got, " ") != want {
		t.Errorf("%v", got)
	}
}

// TestDanglingLink checks that a link that leads nowhere is not a profile, and that List does not stop at it.
func TestDanglingLink(t *testing.T) {
	s := dirs(t, map[string]string{"user/mine.yaml": "about: mine\n"})
	for _, l := range [][2]string{{"/nonexistent", "x.yaml"}, {"self.yaml", "self.yaml"}} {
		if err := os.Symlink(l[0], s.Dirs[0]+"/"+l[1]); err != nil {
			t.Fatal(err)
		}
	}
	bad := 0
	for _, i := range s.List() {
		if i.Err != nil {
			bad++
		}
	}
	if bad != 2 {
		t.Errorf("%d profiles cannot be read, want 2", bad)
	}
	for _, name := range []string{"x", "y"} {
		if _, err := s.Find(name); err == nil || !strings.Contains(err.Error(), "unknown profile") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSchema checks that the JSON Schema accepts what Parse accepts, and refuses common mistakes.
func TestSchema(t *testing.T) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(policy.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	const schemaURL = "mem:///profile.json" // no path, because the library fails on a path with a space
	c := jsonschema.NewCompiler()
	if err := c.AddResource(schemaURL, doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile(schemaURL)
	if err != nil {
		t.Fatal(err)
	}
	validate := func(text []byte) error {
		var value any
		if err := yaml.Unmarshal(text, &value); err != nil {
			return err
		}
		data, err := json.Marshal(value)
		if err != nil {
			return err
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			return err
		}
		return schema.Validate(v)
	}
	for _, c := range shipped {
		src, err := Search{}.Find(c.name)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(src.Data); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if err := validate(policy.Show(c.effective)); err != nil {
			t.Errorf("%s, effective: %v", c.name, err)
		}
	}
	for _, good := range []string{
		"mounts: [{remove: /tmp}, {symlink: /a, to: b}]\nmissing: [{remove: cgroup}]\n",
		"landlock: off\nnetwork: {allow: [\"a:1\"]}\nlimits: {wall: 1h30m, rlimits: {cpu: 1m, core: unlimited}}\n",
		"namespaces: {time: {boottime: -1h}, net: /run/x}\nuser: {uid: keep, gid: 0}\nprocess: {nice: -20}\n",
		"syscalls: {remove: [read, {read: fd == 0}], rules: [{read: fd == 0, else: kill}]}\n",
	} {
		if _, err := policy.Parse("good", []byte(good)); err != nil {
			t.Fatal(err)
		}
		if err := validate([]byte(good)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"mount: []\n", "version: 2\n", "tty: x\n", "mounts: [{bind: ., mdoe: rw}]\n", "mounts: [{bind: ../x}]\n", "mounts: [{bind: x}]\n",
		"mounts: [{bind: /a, tmpfs: /b}]\n", "mounts: [{symlink: /a}]\n", "root: {host: rw}\n", "root: {}\n", "hide: [.env]\n",
		"limits: {memory: 2Gi}\n", "limits: {wall: 30}\n", "limits: {rlimits: {nofiles: 1}}\n", "process: {nice: 20}\n",
		"process: {umask: 22}\n", "capabilities: {keep: [CAP_KILL]}\n", "syscalls: {allow: [raed]}\n", "syscalls: {default: deny}\n",
		"env: {set: {A: 1}}\n", "env: {keep: [\"A*B\"]}\n", "network: [host]\n", "missing: [seccomp]\n", "hostname: a b\n",
		"user: {uid: 4294967295}\n", "namespaces: {net: hosts}\n",
	} {
		if _, err := policy.Parse("bad", []byte(bad)); err == nil {
			t.Fatalf("%s is good", bad)
		}
		var wrong *jsonschema.ValidationError
		if err := validate([]byte(bad)); !errors.As(err, &wrong) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if !json.Valid(policy.Schema()) {
		t.Error("not JSON")
	}
}

func BenchmarkLoadDefault(b *testing.B) {
	home := b.TempDir()
	s := DefaultSearch(func(name string) string { return map[string]string{"HOME": home}[name] })
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Load([]string{"default"}, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoadDefaultWithFlags(b *testing.B) {
	home := b.TempDir()
	s := DefaultSearch(func(name string) string { return map[string]string{"HOME": home}[name] })
	b.ReportAllocs()
	for b.Loop() {
		over := &policy.Profile{}
		for _, f := range [][2]string{{"rw", "src"}, {"net", "host"}, {"timeout", "30s"}} {
			if err := policy.FromFlag(over, f[0], f[1]); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := s.Load([]string{"default"}, over); err != nil {
			b.Fatal(err)
		}
	}
}
