package terminal

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// event is a line of a recording, but not the first line.
type event struct {
	at         float64
	code, data string
}

// decodeCast reads a recording as a player does.
func decodeCast(t *testing.T, text string) (header map[string]any, events []event) {
	t.Helper()
	first, rest, _ := strings.Cut(text, "\n")
	if err := json.Unmarshal([]byte(first), &header); err != nil {
		t.Fatalf("%v: %s", err, first)
	}
	for line := range strings.Lines(rest) {
		var v [3]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		events = append(events, event{v[0].(float64), v[1].(string), v[2].(string)})
	}
	return header, events
}

func TestCast(t *testing.T) {
	var out bytes.Buffer
	c := newCast(&out, unix.Winsize{Row: 24, Col: 80}, []string{"TERM=x\"\\\n", "HOME=/h", "SHELL=/bin/sh"})
	text := "a\x1b[1m\"\\\x7f\x00é世界🙂\xff\r\n"
	for i := range len(text) { // every character is split
		c.output([]byte(text[i : i+1]))
	}
	c.resize(unix.Winsize{Row: 30, Col: 90})
	c.output([]byte("end\xe4\xb8"))
	c.close()
	header, events := decodeCast(t, out.String())
	env := header["env"].(map[string]any)
	if header["version"] != 2.0 || header["width"] != 80.0 || header["height"] != 24.0 || header["timestamp"].(float64) < 1e9 ||
		len(env) != 2 || env["TERM"] != "x\"\\\n" || env["SHELL"] != "/bin/sh" {
		t.Errorf("header %v", header)
	}
	var all strings.Builder
	last := 0.0
	for _, e := range events {
		if e.at < last {
			t.Errorf("%v behind %v", e.at, last)
		}
		last = e.at
		if e.code == "r" {
			all.WriteString("<" + e.data + ">")
			continue
		}
		all.WriteString(e.data)
	}
	if want := "a\x1b[1m\"\\\x7f\x00é世界🙂�\r\n<90x30>end�"; all.String() != want && all.String() != want+"�" {
		t.Errorf("got %q\nwant %q", all.String(), want)
	}
}

// FuzzCast checks that, whatever is written, and in whatever pieces, the lines are JSON. The text must be what was
// written, with U+FFFD in place of bytes that are not UTF-8.
func FuzzCast(f *testing.F) {
	f.Add([]byte("é\x1b\"\\世\xff\xe4"), 1)
	f.Fuzz(func(t *testing.T, text []byte, size int) {
		var out bytes.Buffer
		c := newCast(&out, unix.Winsize{}, nil)
		size = max(1, size%7)
		for rest := text; len(rest) > 0; {
			n := min(size, len(rest))
			c.output(bytes.Clone(rest[:n]))
			rest = rest[n:]
		}
		c.close()
		_, events := decodeCast(t, out.String())
		var all strings.Builder
		for _, e := range events {
			all.WriteString(e.data)
		}
		if want := string([]rune(string(text))); all.String() != want {
			t.Errorf("%q in pieces of %d: got %q, want %q", text, size, all.String(), want)
		}
		if !utf8.ValidString(out.String()) {
			t.Error("not UTF-8")
		}
	})
}
