package policy

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/syndtr/gocapability/capability"

	"cordon/policy/filter"
)

// TestEveryFieldHasAKey checks that every field of Profile has a key, because a profile could neither set nor merge a
// field without one.
func TestEveryFieldHasAKey(t *testing.T) {
	p := &Profile{}
	reached := map[uintptr]bool{}
	add := func(ptr any) { reached[reflect.ValueOf(ptr).Pointer()] = true }
	for i := range language {
		if language[i].at != nil {
			add(language[i].at(p))
		}
		for j := range language[i].keys {
			add(language[i].keys[j].at(p))
		}
	}
	for _, f := range rootForms {
		for _, k := range f.keys {
			if k.at != nil {
				add(k.at(&p.Root))
			}
		}
	}
	for _, f := range timeKeys {
		add(f.at(&p.Namespaces.Time))
	}
	apart := []string{"Namespaces.None", "Profile.Remove", "Profile.Lifted", "Profile.Sources", "Profile.Prebuilt", "Root.Kind", "Landlock.Off", "Network.Mode", "TimeNamespace.New", "TimeNamespace.Path"}
	walkFields(reflect.ValueOf(p).Elem(), func(name string, ptr uintptr) {
		if !reached[ptr] && !slices.Contains(apart, name) {
			t.Errorf("%s has no key", name)
		}
	})
}

// walkFields calls f for every leaf of the sections.
func walkFields(v reflect.Value, f func(string, uintptr)) {
	for i := range v.NumField() {
		x := v.Field(i)
		opt := strings.HasPrefix(x.Type().Name(), "Opt[") || x.Type() == reflect.TypeFor[Namespace]()
		if x.Kind() == reflect.Struct && !opt {
			walkFields(x, f)
			continue
		}
		f(v.Type().Name()+"."+v.Type().Field(i).Name, x.Addr().Pointer())
	}
}

// TestEveryMountFieldHasAKey checks that every field of Mount is a key of some form.
func TestEveryMountFieldHasAKey(t *testing.T) {
	m := &Mount{}
	reached := map[uintptr]bool{}
	for _, f := range mountForms {
		for _, k := range f.keys {
			reached[reflect.ValueOf(k.at(m)).Pointer()] = true
		}
	}
	walkFields(reflect.ValueOf(m).Elem(), func(name string, ptr uintptr) {
		if !reached[ptr] && name != "Mount.Kind" && !strings.HasPrefix(name, "Pos.") {
			t.Errorf("%s has no key", name)
		}
	})
}

// TestEveryKeyHasAFlag checks that every key has a text and an example, and either a flag or a reason why it has none.
// Every flag that is not in the table must set a key. Copies of scalars must compare as equal.
func TestEveryKeyHasAFlag(t *testing.T) {
	for _, k := range allKeys() {
		section := k.Keys != nil && k.Other == ""
		form := strings.Contains(k.Path, "[") // the flags --root and --mount set all keys of a form
		switch {
		case k.Doc == "" || k.Example == "" && !section:
			t.Errorf("%s has no words or no example", k.Path)
		case k.Flag == "" && k.Apart == "" && !section && !form:
			t.Errorf("%s has no flag, and nothing says why", k.Path)
		case k.Flag != "" && k.Apart != "":
			t.Errorf("%s has --%s, and yet a reason to have none", k.Path, k.Flag)
		case k.Flag != "" && !slices.Contains(flagNames(), k.Flag):
			t.Errorf("%s: no flag --%s", k.Path, k.Flag)
		}
	}
	seen := map[string]bool{}
	for f := range AllFlags {
		special := slices.ContainsFunc(setters[:], func(s setter) bool { return s.name == f.Name || s.name == f.For })
		switch {
		case seen[f.Name]:
			t.Errorf("--%s is there twice", f.Name)
		case f.For == "" && f.Doc == "":
			t.Errorf("--%s has no words", f.Name)
		case f.For != "" && !seen[f.For]:
			t.Errorf("--%s is another word for --%s, which is no flag", f.Name, f.For)
		case !special && !strings.HasPrefix(f.Key, "root.") && findKey(f.Key) == nil:
			t.Errorf("--%s sets no key %q", f.Name, f.Key)
		}
		seen[f.Name] = true
	}
	eachScalar(func(section string, k *key[Profile]) {
		a, b := &Profile{}, &Profile{}
		if k.example != "" {
			value := strings.Trim(k.example, `"`)
			if k.typ == tTime {
				value = "new"
			}
			if f := k.set(k.at(a), value); f != nil {
				t.Errorf("%s: the example %q: %s", join(section, k.name), value, f.msg)
			}
		}
		copyScalar(k.at(b), k.at(a))
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s is not copied", join(section, k.name))
		}
	})
}

// allKeys returns the keys of the sections and of all forms.
func allKeys() []Key {
	var all []Key
	var visit func([]Key)
	visit = func(keys []Key) {
		for _, k := range keys {
			all = append(all, k)
			visit(k.Keys)
			for _, f := range k.Forms {
				visit(f.Keys)
			}
		}
	}
	visit(Language())
	return all
}

// TestNoTextIsStale checks that the text of a key says "not supported" exactly if a profile with the key's example is
// refused for that reason.
func TestNoTextIsStale(t *testing.T) {
	refused := func(path, example string) bool {
		section, name, nested := strings.Cut(path, ".")
		text := section + ": " + example
		if nested {
			text = section + ": {" + name + ": " + example + "}"
		}
		p, err := Parse("f", []byte("version: 1\nname: x\n"+text+"\n"))
		if err == nil {
			err = Validate(p)
		}
		return err != nil && strings.Contains(err.Error(), "not supported")
	}
	for _, k := range allKeys() {
		if k.Keys != nil || strings.Contains(k.Path, "[") || strings.HasPrefix(k.Path, "namespaces.time.") {
			continue
		}
		texts := k.Doc
		for f := range AllFlags {
			if f.Key == k.Path {
				texts += " " + f.Doc
			}
		}
		if said, so := strings.Contains(strings.ToLower(texts), "not supported"), refused(k.Path, k.Example); said != so {
			t.Errorf("%s: the texts say that it is not supported: %v; it is refused: %v", k.Path, said, so)
		}
	}
}

// TestExamples checks that each example in the table is a valid value of its key.
func TestExamples(t *testing.T) {
	var visit func(keys []Key, indent string)
	visit = func(keys []Key, prefix string) {
		for _, k := range keys {
			if k.Example != "" {
				text := prefix + k.Name + ": " + k.Example + strings.Repeat("}", strings.Count(prefix, "{")) + "\n"
				if _, err := Parse("example", []byte(text)); err != nil {
					t.Errorf("%s: %v", k.Path, err)
				}
			}
			visit(k.Keys, prefix+k.Name+": {")
		}
	}
	visit(Language(), "")
	for _, f := range mountForms {
		for i, k := range f.keys {
			text := "mounts: [{" + f.keys[0].name + ": " + f.keys[0].example
			if f.kind == string(MountSymlink) && i != 1 {
				text += ", to: x"
			}
			if i > 0 {
				text += ", " + k.name + ": " + k.example
			}
			if _, err := Parse("example", []byte(text+"}]\n")); err != nil {
				t.Errorf("%s.%s: %v", f.kind, k.name, err)
			}
		}
	}
}

func TestCapabilities(t *testing.T) {
	all := capability.List()
	if len(all) > len(capNames) {
		t.Errorf("%d capabilities, the reference has %d", len(capNames), len(all))
	}
	for _, c := range all {
		name := strings.ToUpper(c.String())
		if n, ok := CapabilityNumber(name); !ok || n != int(c) || CapabilityName(int(c)) != name {
			t.Errorf("%s = %d, %v; the reference says %d", name, n, ok, c)
		}
	}
	if CapabilityName(40) != "CHECKPOINT_RESTORE" || CapabilityName(41) != "" || CapabilityName(-1) != "" {
		t.Error("the ends of the table")
	}
}

func TestSizes(t *testing.T) {
	for _, c := range []struct {
		in   string
		want int64
		back string
	}{
		{"0", 0, "0"}, {"1", 1, "1"}, {"1B", 1, "1"}, {"1023", 1023, "1023"}, {"1024", 1024, "1KiB"}, {"1KiB", 1024, "1KiB"},
		{"1kB", 1000, "1000"}, {"1.5GiB", 3 << 29, "1536MiB"}, {"0.000001MB", 1, "1"}, {"1.05MB", 1050000, "1050000"},
		{"2TiB", 2 << 40, "2TiB"}, {"8388607TiB", 8388607 << 40, "8388607TiB"},
	} {
		n, f := parseSize(c.in)
		if f != nil || n != c.want || FormatSize(n) != c.back {
			t.Errorf("%s = %d (%s), %v", c.in, n, FormatSize(n), f)
		}
	}
	for _, in := range []string{"", "-1", "+1", "1 MiB", "1K", "1KIB", "1mb", "1_000", "0x10", "01", "1.5", "1.MiB", ".5MiB",
		"1.0000001MiB", "8388608TiB", "9223372036854775808", "1e3", "١MiB", "MiB", "1.5B"} {
		if n, f := parseSize(in); f == nil {
			t.Errorf("%q accepted as %d", in, n)
		}
	}
}

func TestCleanPath(t *testing.T) {
	for in, want := range map[string]string{
		"/": "/", "//": "/", "/a/": "/a", "/a//b/./c": "/a/b/c", ".": ".", "./": ".", "./.": ".", "./a/": "./a", "././a": "./a",
		"~": "~", "~/": "~", "~/a//b": "~/a/b",
	} {
		if f := checkPath(in); f != nil {
			t.Errorf("%q: %s", in, f.msg)
		}
		if got := cleanPath(in); got != want {
			t.Errorf("cleanPath(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSuggest(t *testing.T) {
	words := []string{"mounts", "hide", "hostname", "mode"}
	for in, want := range map[string]string{
		"mount": "mounts", "mdoe": "mode", "Mode": "mode", "hosntame": "hostname", "x": "", "": "", "hidden": "hide", "hiding": "",
		strings.Repeat("m", 1000): "",
	} {
		if got := Suggest(in, words); got != want {
			t.Errorf("Suggest(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestSelfFilter checks prctl(PR_SET_SECCOMP). The filter must refuse it unless seccomp(2) is allowed with all
// arguments. It must not refuse any other prctl.
func TestSelfFilter(t *testing.T) {
	for text, implied := range map[string]bool{
		"{allow: [prctl]}":                                                  true,
		"{allow: [prctl, seccomp]}":                                         false,
		"{allow: [prctl, seccomp], deny: [seccomp]}":                        true,
		"{allow: [prctl, \"@sandbox\"]}":                                    false,
		"{allow: [prctl, \"@sandbox\"], deny: [\"@sandbox\"]}":              true,
		"{default: allow}":                                                  false,
		"{default: log}":                                                    false,
		"{default: allow, deny: [seccomp]}":                                 true,
		"{default: allow, rules: [{seccomp: errno(ENOSYS)}]}":               true,
		"{allow: [prctl], rules: [{seccomp: allow}]}":                       false,
		"{allow: [prctl], rules: [{seccomp: operation == 1}]}":              true,
		"{allow: [read]}":                                                   false,
		"{default: allow, deny: [prctl, seccomp]}":                          false,
		"{rules: [{prctl: op == PR_SET_NAME}]}":                             true,
		"{default: allow, deny: [seccomp], rules: [{prctl: errno(EPERM)}]}": false,
	} {
		p := parse(t, "f", "version: 1\nname: f\nsyscalls: "+text+"\n")
		spec, err := p.Syscalls.Filter()
		if err != nil {
			t.Fatal(err)
		}
		ask := func(call string) filter.Kind {
			nr, _ := filter.Number(filter.AMD64, "prctl")
			op := map[string]uint64{"PR_SET_SECCOMP": 22, "PR_SET_NAME": 15}[call]
			v, err := filter.Explain(spec, filter.AMD64, filter.Data{Nr: int32(nr), Arch: filter.AMD64.Audit(), Args: [6]uint64{op | 1<<40}})
			if err != nil {
				t.Fatal(err)
			}
			return v.Action.Kind
		}
		if n := len(p.Syscalls.Rules); len(spec.Rules) > n != implied {
			t.Errorf("%s: %+v", text, spec.Rules)
		}
		if implied && (ask("PR_SET_SECCOMP") == filter.Allow || ask("PR_SET_NAME") != filter.Allow) {
			t.Errorf("%s: PR_SET_SECCOMP %v, PR_SET_NAME %v", text, ask("PR_SET_SECCOMP"), ask("PR_SET_NAME"))
		}
	}
}

func TestFilter(t *testing.T) {
	p := parse(t, "f", example)
	spec, err := p.Syscalls.Filter()
	if err != nil {
		t.Fatal(err)
	}
	if len(spec.Allow) != 1 || spec.Allow[0].Name != "@system-service" || spec.Allow[0].From != "f:32" || len(spec.Rules) != 4 ||
		spec.Rules[1].Else.Errno != 97 || spec.Default.Kind != filter.Kill || len(spec.Foreign) != 1 {
		t.Errorf("%+v", spec)
	}
}
