package policy

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

func seed(f *testing.F) {
	files, err := filepath.Glob("../profiles/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatal("no shipped profiles", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(example))
	f.Add([]byte("a: [b, # c\n  {d: e}] # f\n# g\n\n  # h\n"))
	f.Add([]byte("a: |+\n  b\n\nc: >2-\n   d\n  e\n\"f\": 'g\n\n  h'\n"))
}

// bounded stops the test if an input takes too long, so that the fuzzer keeps the input.
func bounded(data []byte) (stop func() bool) {
	return time.AfterFunc(5*time.Second, func() { panic(fmt.Sprintf("hangs on %q", data)) }).Stop
}

// FuzzParse checks that every profile that Parse accepts can be shown and read back, and that Validate returns only
// errors of type Errors.
func FuzzParse(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounded(data)()
		p, err := Parse("f", data)
		if err != nil {
			if len(first(err)) == 0 {
				t.Fatalf("an error without a message: %v", err)
			}
			return
		}
		shown := Show(p)
		q, err := Parse("shown", shown)
		if err != nil {
			t.Fatalf("%v\n%s", err, shown)
		}
		if a, b := plain(p), plain(q); !reflect.DeepEqual(a, b) {
			t.Fatalf("shown as\n%s\n got %+v\nwant %+v", shown, b, a)
		}
		_ = Validate(p)
		if m := Merge(&Profile{}, p); !reflect.DeepEqual(plain(m), plain(p)) {
			t.Fatalf("merging over nothing changes it: %+v, %+v", m, p)
		}
	})
}

func FuzzFormat(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounded(data)()
		out, err := Format("f", data)
		if err != nil {
			return
		}
		again, err := Format("f", out)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if !bytes.Equal(out, again) {
			t.Fatalf("once\n%s\ntwice\n%s", out, again)
		}
		p, err := Parse("f", data)
		q, err2 := Parse("f", out)
		if (err == nil) != (err2 == nil) || err == nil && !reflect.DeepEqual(plain(p), plain(q)) {
			t.Fatalf("formatting changes what it says: %v, %v", err, err2)
		}
	})
}

func FuzzFromFlag(f *testing.F) {
	for _, name := range flagNames() {
		f.Add(name, "/a:b=c")
	}
	f.Add("mount", "{bind: /a}")
	f.Add("keep-env", "A,B")
	f.Add("env", "A,B=c d, e")
	f.Add("ro", "/a b, c #d")
	f.Add("hide", "/a b,c")
	f.Fuzz(func(t *testing.T, name, value string) {
		p := &Profile{}
		if FromFlag(p, name, value) != nil {
			return
		}
		if _, err := Parse("shown", Show(p)); err != nil {
			t.Fatalf("--%s %q: %v\n%s", name, value, err, Show(p))
		}
	})
}

// FuzzUpdate checks three things after Update: the profile can be read, it has all comments that a person wrote, and a
// second Update adds nothing.
func FuzzUpdate(f *testing.F) {
	f.Add([]byte("version: 1 # one\nsyscalls: {allow: [read]} # all\nmounts:\n  - {bind: /x} # b.rec:1\n"))
	f.Add([]byte("# top\n\nsyscalls:\n  rules:\n    # why\n    - {socket: family == AF_UNIX} # b.rec:7\n  # No other program was executed.\n  exec: once\n"))
	f.Add([]byte("limits: {memory: 1GiB, rlimits: {nofile: 5}}\nenv:\n  keep: [A]\n"))
	p, err := Parse("a.rec", []byte(`{version: 1, mounts: [{bind: /x, mode: rw}], hide: [/y], env: {keep: [B]}, network: host, syscalls: {allow: [read, write], rules: [{socket: family == AF_INET}]}, limits: {memory: 2GiB, rlimits: {nofile: 9}}, missing: [cgroup]}`))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, old []byte) {
		if _, err := Parse("p.yaml", old); err != nil {
			return
		}
		out, err := Update("p.yaml", old, p, nil, nil)
		if err != nil {
			return // Update refuses to lose a comment
		}
		if _, err := Parse("p.yaml", out); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		again, err := Update("p.yaml", out, p, nil, nil)
		if err != nil || string(again) != string(out) {
			t.Fatalf("%v\n%s\nand then\n%s", err, out, again)
		}
	})
}
