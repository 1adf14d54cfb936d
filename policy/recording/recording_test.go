package recording

import (
	"bytes"
	"errors"
	"io"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"cordon/policy/filter"
)

// sample returns a recording with every kind of event and every field.
func sample(t *testing.T) *Recording {
	t.Helper()
	r := &Recording{Header: Header{Arch: "amd64", Runs: []Run{{
		Backend: "bpf", Why: []string{"3 paths were lost"}, Lost: map[string]uint64{"paths": 3}, Blind: []Kind{KindCap},
		Kernel: "6.18.0", Started: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), Wall: 1500 * time.Millisecond,
		Command: []string{"sh", "-c", "id; ls"}, Profile: "default", Home: "/home/u", Workdir: "/src", Runtime: "/run/user/1", UID: 1000, End: "exit 0", Launcher: "v1",
	}}}}
	sh := r.Executable(Executable{Path: "/bin/sh", BuildID: "00ff"})
	ls := r.Executable(Executable{Path: "/bin/ls", Static: true})
	for _, e := range []Event{
		{Kind: KindPeak, Exe: -1, Count: 1, Peak: PeakMemory, Value: 1 << 40},
		{Kind: KindPath, Exe: ls, Count: 2, Path: "/tmp/a\xffb\n\"\\é", Via: "/t", Access: Read | List, Type: TypeDir},
		{Kind: KindPath, Exe: ls, Count: 1, Path: "/etc/none", Access: Stat, Errno: "ENOENT"},
		{Kind: KindCall, Exe: sh, Count: 7, Call: "socket", Args: []Arg{{"family", 2}, {"type", 1}, {"protocol", 0}}, Errno: "EPERM"},
		{Kind: KindCall, Exe: sh, Count: 1, Call: "#451", Arch: "i386"},
		{Kind: KindNet, Exe: sh, Count: 1, Net: Net{"connect", "inet6", "tcp", "::1", 443, "localhost"}},
		{Kind: KindCap, Exe: ls, Count: 1, Cap: "NET_RAW", By: "socket"},
		{Kind: KindExec, Exe: -1, Count: 1, Path: "/bin/sh", Via: "/usr/bin/sh"},
	} {
		if err := r.Add(&e); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func text(t *testing.T, r *Recording) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRoundTrip(t *testing.T) {
	r := sample(t)
	first := text(t, r)
	again, err := ReadAll("a.rec", strings.NewReader(first))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again.Events, r.Events) || !reflect.DeepEqual(again.Executables, r.Executables) || !reflect.DeepEqual(again.Header, r.Header) {
		t.Errorf("read back:\n%+v\nwas:\n%+v", again, r)
	}
	if second := text(t, again); second != first {
		t.Errorf("written again:\n%s\nwas:\n%s", second, first)
	}
}

// TestCanonical checks that the order of events does not change the file.
func TestCanonical(t *testing.T) {
	a, b := sample(t), &Recording{}
	b.Header = a.Header
	exe := make([]int, 2)
	for i := len(a.Executables) - 1; i >= 0; i-- {
		exe[i] = b.Executable(a.Executables[i])
	}
	for _, e := range slices.Backward(a.Events) {
		for range 2 { // add the events in two halves
			x := e
			if x.Exe >= 0 {
				x.Exe = exe[x.Exe]
			}
			if err := b.Add(&x); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range a.Events {
		if a.Events[i].Kind != KindPeak {
			a.Events[i].Count *= 2
		}
	}
	if got, want := text(t, b), text(t, a); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestMerge(t *testing.T) {
	a, b := sample(t), &Recording{Header: Header{Arch: "amd64", Runs: []Run{{Backend: "notify", Complete: true}}}}
	dash := b.Executable(Executable{Path: "/bin/dash"})
	ls := b.Executable(Executable{Path: "/bin/ls", Static: true})
	for _, e := range []Event{
		{Kind: KindPath, Exe: ls, Count: 1, Path: "/etc/none", Access: Read}, // this time the file exists
		{Kind: KindPath, Exe: dash, Count: 1, Path: "/etc/none", Access: Stat, Errno: "ENOENT"},
		{Kind: KindPeak, Exe: -1, Count: 1, Peak: PeakMemory, Value: 5},
	} {
		if err := b.Add(&e); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Merge(b); err != nil {
		t.Fatal(err)
	}
	out := text(t, a)
	for _, want := range []string{
		`{"kind":"executable","id":0,"path":"/bin/dash"}`,
		`{"kind":"path","exe":0,"path":"/etc/none","access":["stat"],"n":1,"errno":"ENOENT"}`,
		`{"kind":"path","exe":1,"path":"/etc/none","access":["read"],"n":1}`,
		`{"kind":"peak","what":"memory","value":1099511627776}`,
		`{"kind":"end","records":13}`,
	} {
		if !strings.Contains(out, want+"\n") {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
	if a.Header.Complete() || len(a.Header.Runs) != 2 || !blind(&a.Header, KindCap) || blind(&b.Header, KindCap) || !b.Header.Complete() {
		t.Errorf("header: %+v", a.Header)
	}
	if err := a.Merge(&Recording{Header: Header{Arch: "arm64"}}); err == nil {
		t.Error("arm64 was merged with amd64")
	}
}

// TestTruncated cuts a file at every place. The reader must return everything before the cut, and say that the file
// ends too early.
func TestTruncated(t *testing.T) {
	whole := text(t, sample(t))
	header := strings.Index(whole, "\n") + 1
	for n := range len(whole) - 1 {
		rec, err := ReadAll("a.rec", strings.NewReader(whole[:n]))
		var bad *Error
		if !errors.As(err, &bad) {
			t.Fatalf("%d of %d bytes: error %v", n, len(whole), err)
		}
		if n < header-1 {
			continue
		}
		if !bad.Truncated || bad.Hint == "" || rec == nil {
			t.Fatalf("%d of %d bytes: %v", n, len(whole), err)
		}
		if got, want := len(rec.Events)+len(rec.Executables), strings.Count(whole[header-1:max(n, header)], "\n")-1; got != max(want, 0) {
			t.Fatalf("%d of %d bytes: %d records, not %d", n, len(whole), got, want)
		}
	}
	if _, err := ReadAll("a.rec", strings.NewReader(whole[:len(whole)-1])); err != nil {
		t.Errorf("without the last newline: %v", err)
	}
}

const head = `{"cordon":"recording","version":1,"arch":"amd64","runs":[{"backend":"x","complete":true,"kernel":"6","started":"2026-11-24T12:00:00Z","wall_ns":1,"command":[],"uid":0}]}` + "\n"

func TestBadInput(t *testing.T) {
	for _, c := range []struct{ name, in, want, hint string }{
		{"empty", "", "a.rec: the recording is empty", "killed"},
		{"strace", "1234 execve(\"/bin/ls\", [\"ls\"], 0x7ff /* 3 vars */) = 0\n", "a.rec:1: not a recording", "strace"},
		{"program", "\x7fELF\x02\x01", "a.rec:1: not a recording", "a program"},
		{"profile", "version: 1\n", "not a recording", "profile"},
		{"gzip", "\x1f\x8b\x08", "not a recording", "gunzip"},
		{"newer", `{"cordon":"recording","version":2,"new":[]}` + "\n", "a.rec:1: a recording of version 2", "newer cordon"},
		{"no version", `{"cordon":"recording"}` + "\n", "has a version", ""},
		{"no run", `{"cordon":"recording","version":1,"arch":"amd64","runs":[]}` + "\n", "names no run", ""},
		{"header key", `{"cordon":"recording","version":1,"x":1}` + "\n", `unknown field "x"`, ""},
		{"long line", head + strings.Repeat("x", MaxLine+1), "a.rec:2: a line of more than 1048576 bytes", ""},
		{"kind", head + `{"kind":"future","n":1}` + "\n", `a.rec:2: kind: "future" is not known`, "newer cordon"},
		{"no kind", head + `{"n":1}` + "\n", "without a kind", "newer"},
		{"key", head + `{"kind":"call","call":"read","pid":1}` + "\n", `a.rec:2: unknown key "pid"`, "newer"},
		{"key of another", head + `{"kind":"call","call":"read","path":"/x"}` + "\n", `"path" has no place in a record of kind call`, ""},
		{"twice", head + `{"kind":"call","call":"read","call":"write"}` + "\n", `"call" twice`, ""},
		{"exe", head + `{"kind":"call","call":"read","exe":0}` + "\n", "exe 0: there is no such executable", ""},
		{"huge exe", head + `{"kind":"call","call":"read","exe":18446744073709551615}` + "\n", "there is no such executable", ""},
		{"overflow", head + `{"kind":"call","call":"read","n":18446744073709551616}` + "\n", "more than 64 bits", ""},
		{"zero", head + `{"kind":"call","call":"read","n":0}` + "\n", "at least once", ""},
		{"negative", head + `{"kind":"call","call":"read","n":-1}` + "\n", "a whole number", ""},
		{"octal", head + `{"kind":"call","call":"read","n":07}` + "\n", "a whole number", ""},
		{"call", head + `{"kind":"call","call":"read write"}` + "\n", "is no system call", ""},
		{"number", head + `{"kind":"call","call":"#4294967296"}` + "\n", "is no system call", ""},
		{"args", head + `{"kind":"call","call":"x","args":{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1}}` + "\n", "a call has six", ""},
		{"same arg", head + `{"kind":"call","call":"x","args":{"a":1,"a":2}}` + "\n", `"a" twice`, ""},
		{"relative", head + `{"kind":"path","path":"etc/x","access":["read"]}` + "\n", "not absolute", ""},
		{"dots", head + `{"kind":"path","path":"/tmp/../etc/shadow","access":["read"]}` + "\n", "not resolved", ""},
		{"nul", head + `{"kind":"path","path":"/tmp/\u0000","access":["read"]}` + "\n", "a NUL", ""},
		{"long path", head + `{"kind":"path","path":"/` + strings.Repeat("a", 4096) + `","access":["read"]}` + "\n", "4095", ""},
		{"no access", head + `{"kind":"path","path":"/x","access":[]}` + "\n", "nothing was done", ""},
		{"access", head + `{"kind":"path","path":"/x","access":["own"]}` + "\n", `access: "own" is not known`, ""},
		{"type", head + `{"kind":"path","path":"/x","access":["read"],"type":"door"}` + "\n", "no type of file", ""},
		{"port", head + `{"kind":"net","op":"connect","family":"inet","port":65536}` + "\n", "16 bits", ""},
		{"op", head + `{"kind":"net","op":"listen","family":"inet"}` + "\n", "is not connect", ""},
		{"cap", head + `{"kind":"cap","cap":"cap_x"}` + "\n", "is no capability", ""},
		{"peak", head + `{"kind":"peak","what":"heat","value":1}` + "\n", "is no peak", ""},
		{"utf8", head + "{\"kind\":\"path\",\"path\":\"/\xff\",\"access\":[\"read\"]}\n", "not UTF-8", `\udcXX`},
		{"surrogate", head + `{"kind":"path","path":"/\ud800x","access":["read"]}` + "\n", "surrogate", ""},
		{"control", head + "{\"kind\":\"path\",\"path\":\"/\x01\",\"access\":[\"read\"]}\n", "control character", ""},
		{"behind", head + `{"kind":"call","call":"read"} {}` + "\n", "after the object", ""},
		{"garbage", head + "\x00\x01\x02\n", "not a JSON object", ""},
		{"executable late", head + `{"kind":"call","call":"read"}` + "\n" + `{"kind":"executable","id":0,"path":"/x"}` + "\n", "after the first event", ""},
		{"executable id", head + `{"kind":"executable","id":1,"path":"/x"}` + "\n", "not numbered from 0", ""},
		{"count", head + `{"kind":"call","call":"read"}` + "\n" + `{"kind":"end","records":2}` + "\n", "has 1 records, and its last line says 2", "edited"},
		{"second", head + `{"kind":"end","records":0}` + "\n" + head, "a second recording", "--append"},
		{"after", head + `{"kind":"end","records":0}` + "\nx\n", "something after the end", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ReadAll("a.rec", strings.NewReader(c.in))
			var bad *Error
			if !errors.As(err, &bad) {
				t.Fatalf("error %v", err)
			}
			if !strings.Contains(bad.Error(), c.want) || !strings.Contains(bad.Hint, c.hint) || bad.Truncated {
				t.Errorf("%q (%q), want %q (%q)", bad, bad.Hint, c.want, c.hint)
			}
		})
	}
}

type broken struct{ at io.Reader }

func (b broken) Read(p []byte) (int, error) {
	n, err := b.at.Read(p)
	if err != nil {
		err = errors.New("input/output error")
	}
	return n, err
}

func TestUnreadable(t *testing.T) {
	_, err := ReadAll("a.rec", broken{strings.NewReader(head)})
	if err == nil || err.Error() != "a.rec:1: input/output error" {
		t.Errorf("error %v", err)
	}
}

// TestOtherJSON checks that spaces and the order of keys make no difference.
func TestOtherJSON(t *testing.T) {
	in := head + ` { "n" : 3 , "args" : { } , "call" : "re\u0061d" , "kind" : "call" } ` + "\r\n" + `{"records":1,"kind":"end"}` + "\n\n"
	r, err := ReadAll("a.rec", strings.NewReader(in))
	if err != nil {
		t.Fatal(err)
	}
	if want := []Event{{Kind: KindCall, Exe: -1, Count: 3, Call: "read"}}; !reflect.DeepEqual(r.Events, want) {
		t.Errorf("%+v", r.Events)
	}
}

func TestAdd(t *testing.T) {
	var r Recording
	if err := r.Add(&Event{Kind: KindPath, Exe: 0, Count: 1, Path: "/x", Access: Read}); err == nil {
		t.Error("an event of an unknown executable was added")
	}
	e := Event{Kind: KindCall, Exe: -1, Count: 1<<64 - 1, Call: "read", Errno: "EAGAIN"}
	for range 2 {
		if err := r.Add(&e); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.Events) != 1 || r.Events[0].Count != 1<<64-1 || r.Events[0].Errno != "EAGAIN" {
		t.Errorf("%+v", r.Events)
	}
}

// TestWatched checks that every gate names a call, and an argument in the right register. An argument without a
// register must be behind a pointer.
func TestWatched(t *testing.T) {
	for i, g := range Watched {
		params := filter.Args(g.Call)
		if g.Reg >= 0 && (g.Reg >= len(params) || params[g.Reg] != g.Arg) {
			t.Errorf("%s has no %s in register %d: %v", g.Call, g.Arg, g.Reg, params)
		}
		if i > 0 && (Watched[i-1].Call > g.Call || Watched[i-1].Call == g.Call && Watched[i-1].Reg >= g.Reg) {
			t.Errorf("%s %s is out of order", g.Call, g.Arg)
		}
		if len(Gates(g.Call)) == 0 || !filter.Known(g.Call) {
			t.Errorf("%s is not found", g.Call)
		}
	}
	if got := Gates("socket"); len(got) != 3 || got[2].Arg != "protocol" {
		t.Errorf("socket: %v", got)
	}
	if Gates("read") != nil {
		t.Error("read has gates")
	}
}

func TestUnseen(t *testing.T) {
	r := Run{Why: []string{"not shown: read write", "3 paths were lost", "not shown: mmap without PROT_EXEC; newfstatat below an open directory;"}}
	if got := r.Unseen(); !slices.Equal(got, []string{"read", "write", "mmap", "newfstatat"}) {
		t.Errorf("%v", got)
	}
}

func TestResolved(t *testing.T) {
	for _, p := range []string{"/", "/a", "/a/b", "/a/", "//", "/a//b", "/.", "/a/.", "/./a", "/..", "/a/..", "/a/../b", "/a/.b", "/a/..b", "/a/...", "/a./b", "/a../b"} {
		if got := resolved(p); got != (path.Clean(p) == p) {
			t.Errorf("%s: %v", p, got)
		}
	}
}

func TestAccess(t *testing.T) {
	if got := AllAccess.Names(); len(got) != len(accessNames) {
		t.Errorf("%v", got)
	}
	for _, name := range accessNames {
		if ParseAccess(name).String() != name {
			t.Errorf("%s is %s", name, ParseAccess(name))
		}
	}
}

// FuzzReader checks that what Read accepts can be written and read back unchanged. Any other input must give an error.
func FuzzReader(f *testing.F) {
	var b bytes.Buffer
	r := &Recording{Header: Header{Arch: "amd64", Runs: []Run{{Backend: "bpf"}}}}
	_ = r.Executable(Executable{Path: "/bin/sh"})
	_ = r.Add(&Event{Kind: KindPath, Exe: 0, Count: 1, Path: "/a\xff\"", Access: Read | Write, Type: TypeFile})
	_ = r.Add(&Event{Kind: KindCall, Exe: 0, Count: 1, Call: "ioctl", Args: []Arg{{"cmd", 3}}})
	_ = r.Add(&Event{Kind: KindNet, Exe: 0, Count: 1, Net: Net{Op: "bind", Family: "inet", Port: 80}})
	_ = r.Write(&b)
	f.Add(b.Bytes())
	f.Add([]byte(head + `{"kind":"cap","cap":"NET_RAW","by":"socket"}` + "\n" + `{"kind":"peak","what":"pids","value":3}`))
	f.Add([]byte(head + `{"kind":"path","path":"/\ud83d\ude00\udcff","access":["stat"]}` + "\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := ReadAll("f", bytes.NewReader(in))
		if err != nil {
			var bad *Error
			if !errors.As(err, &bad) || strings.Contains(bad.Msg, "%!") {
				t.Fatalf("error %v", err)
			}
			return
		}
		var one, two bytes.Buffer
		if err := r.Write(&one); err != nil {
			return // the header becomes too long when it is written
		}
		again, err := ReadAll("g", bytes.NewReader(one.Bytes()))
		if err != nil {
			t.Fatalf("written and not read: %v\n%s", err, one.Bytes())
		}
		if err := again.Write(&two); err != nil || !bytes.Equal(one.Bytes(), two.Bytes()) {
			t.Fatalf("not canonical:\n%s\n%s", one.Bytes(), two.Bytes())
		}
	})
}

// blind reports whether a run could not see events of a kind.
func blind(h *Header, k Kind) bool {
	return slices.ContainsFunc(h.Runs, func(r Run) bool { return slices.Contains(r.Blind, k) })
}
