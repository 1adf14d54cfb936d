package state

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// logged returns what the log contains: the data of each stream.
func logged(t *testing.T, e *Entry) map[string]string {
	t.Helper()
	r, err := e.ReadLog()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	all := map[string]string{}
	last := time.Time{}
	for {
		rec, _, err := r.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if rec.Time.Before(last) {
			t.Errorf("%v after %v", rec.Time, last)
		}
		last = rec.Time
		all[rec.Stream] += string(rec.Data())
	}
}

// TestLog checks that the log keeps every byte of each stream, whatever the bytes are and however they arrive.
func TestLog(t *testing.T) {
	d := stateDir(t)
	binary := string([]byte{0, 0xff, 0xfe, '\n', 0xc3, 0x28, '"', '\\', '<', 0x1b})
	for _, tt := range []struct {
		name   string
		out    []string
		errors string
	}{
		{"nothing", nil, ""},
		{"lines", []string{"a\n", "b\n"}, "c\n"},
		{"without an end", []string{"half"}, ""},
		{"characters in parts", []string{"\xe2", "\x82", "\xac\n\xf0\x9f", "\x98\x80"}, ""},
		{"a character without an end", []string{"x\xf0\x9f"}, ""},
		{"binary", []string{binary}, binary},
		{"much", []string{strings.Repeat("0123456789abcdef\n", 4000)}, strings.Repeat("é", 5000)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newEntry(t, d, "")
			l, err := e.OpenLog(1<<30, 1)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range tt.out {
				if _, err := l.Stdout().WriteString(s); err != nil {
					t.Fatal(err)
				}
				time.Sleep(5 * time.Millisecond) // it is read by itself
			}
			if _, err := l.Stderr().WriteString(tt.errors); err != nil {
				t.Fatal(err)
			}
			_, _ = l.Write([]byte("cordon: x\n"))
			l.Close()
			if n, why := l.Lost(); n != 0 {
				t.Errorf("lost %d: %s", n, why)
			}
			all := logged(t, e)
			if all["stdout"] != strings.Join(tt.out, "") || all["stderr"] != tt.errors || all["cordon"] != "cordon: x\n" {
				t.Errorf("%.200q", all)
			}
		})
	}
}

// TestLogRotation checks that the files are bounded, and that a reader goes on from one file to the next.
func TestLogRotation(t *testing.T) {
	for _, files := range []int{1, 2, 4} {
		d := stateDir(t)
		e := newEntry(t, d, "")
		l, err := e.OpenLog(MinLogSize, files)
		if err != nil {
			t.Fatal(err)
		}
		r, err := e.ReadLog()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		var want, got strings.Builder
		follow := func() {
			for {
				rec, _, err := r.Next()
				if err == io.EOF {
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				got.Write(rec.Data())
			}
		}
		for i := range 400 {
			line := strings.Repeat(string(rune('a'+i%26)), 1000) + "\n"
			want.WriteString(line)
			l.record("stdout", []byte(line))
			follow()
		}
		l.Close()
		follow()
		if got.String() != want.String() {
			t.Errorf("%d files: followed %d bytes of %d", files, got.Len(), want.Len())
		}
		all := logged(t, e)["stdout"]
		if !strings.HasSuffix(want.String(), all) || files > 1 && len(all) < (files-1)*MinLogSize*9/10 {
			t.Errorf("%d files: %d bytes are kept", files, len(all))
		}
		for i := range files + 1 {
			info, err := e.root.Stat(logName(i))
			if i == files != errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() > MinLogSize {
				t.Errorf("%d files: %s: %v %v", files, logName(i), info, err)
			}
		}
	}
}

// TestLogMissedRotation checks that a reader that has missed some files goes on with the oldest file that exists.
func TestLogMissedRotation(t *testing.T) {
	d := stateDir(t)
	e := newEntry(t, d, "")
	l, err := e.OpenLog(MinLogSize, 2)
	if err != nil {
		t.Fatal(err)
	}
	r, err := e.ReadLog()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for i := range 1000 {
		l.record("stdout", bytes.Repeat([]byte{byte('a' + i%26)}, 1000))
	}
	l.Close()
	n := 0
	for {
		if _, _, err := r.Next(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n < 100 || n > 250 {
		t.Errorf("%d records", n)
	}
}

// TestLogOnFullDisk checks that the task goes on, and that the log says what was lost as soon as there is room.
func TestLogOnFullDisk(t *testing.T) {
	dir := smallFS(t)
	d, err := OpenStateDir(dir + "/cordon")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	e := newEntry(t, d, "")
	l, err := e.OpenLog(1<<20, 3)
	if err != nil {
		t.Fatal(err)
	}
	l.record("stdout", []byte("before\n"))
	fill(t, dir)
	lost := strings.Repeat("x", 999) + "\n"
	for range 300 { // more than a pipe holds
		if _, err := l.Stdout().WriteString(lost); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 {
		if n, _ := l.Lost(); n > 290_000 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := os.Remove(dir + "/fill"); err != nil {
		t.Fatal(err)
	}
	l.record("stderr", []byte("after\n"))
	l.Close()
	n, why := l.Lost()
	if why != unix.ENOSPC.Error() {
		t.Errorf("%d %s", n, why)
	}
	all := logged(t, e)
	if !strings.HasPrefix(all["stdout"], "before\n") || all["stderr"] != "after\n" || int64(len(all["stdout"]))+n != int64(len("before\n")+300*1000) {
		t.Errorf("%d bytes, lost %d; %q", len(all["stdout"]), n, all["stderr"])
	}
	var said int64 // it may be said several times: what is left of a disk may hold that, and no more output
	for line := range strings.Lines(all["cordon"]) {
		var more int64
		if _, err := fmt.Sscanf(line, "lost %d bytes of output that could not be logged: no space left on device\n", &more); err != nil {
			t.Errorf("%q: %v", line, err)
		}
		said += more
	}
	if said != n {
		t.Errorf("lost %d, said %d", n, said)
	}
}

// TestLogHeldOpen checks that the log can be closed although another process goes on writing to a pipe.
func TestLogHeldOpen(t *testing.T) {
	d := stateDir(t)
	e := newEntry(t, d, "")
	l, err := e.OpenLog(1<<20, 3)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Dup(int(l.Stdout().Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	done := make(chan bool)
	go func() { l.Close(); close(done) }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("it waits")
	}
}

// FuzzReadLog reads damaged files. The reader must invent no record, and must reach the end.
func FuzzReadLog(f *testing.F) {
	f.Add([]byte(`{"time":"2026-01-02T03:04:05Z","stream":"stdout","log":"x\n"}` + "\n" + `{"time":`))
	f.Add([]byte("\n\n{}\n[1]\n\xff\n"))
	dir := f.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		f.Fatal(err)
	}
	defer root.Close()
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := root.WriteFile(logFile, b, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := (&Entry{root: root}).ReadLog()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for n := 0; ; n++ {
			rec, line, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil || n > bytes.Count(b, []byte("\n")) || !bytes.Contains(b, line) || rec == nil {
				t.Fatalf("%v %d %q", err, n, line)
			}
		}
	})
}

// TestLogBytes checks that output which JSON would make six times as long is stored in base64, so that no file exceeds
// its limit.
func TestLogBytes(t *testing.T) {
	d := stateDir(t)
	e := newEntry(t, d, "")
	l, err := e.OpenLog(MinLogSize, 3)
	if err != nil {
		t.Fatal(err)
	}
	nul := bytes.Repeat([]byte{0}, 200<<10)
	if _, err := l.Stdout().Write(nul); err != nil {
		t.Fatal(err)
	}
	l.Close()
	for i := range 3 {
		info, err := e.root.Stat(logName(i))
		if err != nil || info.Size() > MinLogSize {
			t.Errorf("%s: %v, %v", logName(i), info, err)
		}
	}
	if lost, why := l.Lost(); lost != 0 {
		t.Errorf("lost %d: %s", lost, why)
	}
	r, err := e.ReadLog()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	rec, _, err := r.Next()
	if err != nil || rec.Text != "" || !bytes.Equal(rec.Data(), nul[:len(rec.Data())]) || len(rec.Data()) == 0 {
		t.Errorf("%v, %v", rec, err)
	}
	mark := r.Mark()
	second, _, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	for err == nil { // to the end, over the other files
		_, _, err = r.Next()
	}
	if err := r.Back(mark); err != nil {
		t.Fatal(err)
	}
	if again, _, err := r.Next(); err != nil || !again.Time.Equal(second.Time) || !bytes.Equal(again.Bytes, second.Bytes) {
		t.Errorf("back: %v, %v", again, err)
	}
}
