package learn

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"cordon/policy"
	"cordon/policy/recording"
)

// million returns a recording of n records: paths of many programs in many directories, calls with their arguments, and
// links.
func million(tb testing.TB, n int) []byte {
	tb.Helper()
	r := &recording.Recording{Header: recording.Header{Arch: "amd64", Runs: []recording.Run{{
		Backend: "bpf", Complete: true, Started: time.Unix(1.8e9, 0), Command: []string{"make"}, Home: "/home/me", Workdir: "/home/me/src",
	}}}}
	add := func(e recording.Event) {
		e.Count = 1
		if err := r.Add(&e); err != nil {
			tb.Fatal(err)
		}
	}
	const exes = 50
	for i := range exes {
		r.Executable(recording.Executable{Path: fmt.Sprintf("/usr/bin/tool%d", i)})
	}
	calls := []string{"read", "write", "openat", "close", "mmap", "futex", "newfstatat", "fcntl", "ioctl", "socket"}
	for i := range n {
		exe := i % exes
		switch k := i / exes; i % 10 {
		case 0:
			add(recording.Event{Kind: recording.KindCall, Exe: exe, Call: calls[k%len(calls)], Args: []recording.Arg{{Name: "flags", Value: uint64(k)}}})
		case 1, 2:
			add(recording.Event{Kind: recording.KindPath, Exe: exe, Path: fmt.Sprintf("/home/me/src/out/%d/%d.o", k%500, k), Access: recording.Create | recording.Write, Type: recording.TypeFile})
		case 3:
			add(recording.Event{Kind: recording.KindPath, Exe: exe, Path: fmt.Sprintf("/usr/include/%d/none%d.h", k%300, k), Access: recording.Stat, Errno: "ENOENT"})
		case 4:
			add(recording.Event{Kind: recording.KindPath, Exe: exe, Path: fmt.Sprintf("/usr/lib/x/%d/lib%d.so.1.2", k%100, k), Via: fmt.Sprintf("/lib/x/%d/lib%d.so", k%100, k), Access: recording.Read | recording.Map, Type: recording.TypeFile})
		default:
			add(recording.Event{Kind: recording.KindPath, Exe: exe, Path: fmt.Sprintf("/usr/include/%d/%d.h", k%300, k), Access: recording.Read, Type: recording.TypeFile})
		}
	}
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

var madeMillion []byte

// millionText makes the recording once for all benchmarks, because making it takes longer than the measured code.
func millionText(tb testing.TB) []byte {
	if madeMillion == nil {
		madeMillion = million(tb, 1_000_000)
	}
	return madeMillion
}

// BenchmarkMillion reads a million records, learns a profile from them and checks the profile against them. The time
// for this should be below one second.
func BenchmarkMillion(b *testing.B) {
	text := millionText(b)
	secrets, env := guard(b)
	parent := base(b)
	b.SetBytes(int64(len(text)))
	b.ResetTimer()
	for b.Loop() {
		var f Facts
		if err := f.Read("m.rec", bytes.NewReader(text)); err != nil {
			b.Fatal(err)
		}
		r, err := Learn(&f, Options{Name: "x", Extends: []string{"base"}, Parent: parent, Secrets: secrets, Env: env})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := Replay(policy.Merge(parent, r.Profile), &f); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(f.Records), "records/op")
		b.ReportMetric(float64(len(f.Paths)), "paths")
	}
}
