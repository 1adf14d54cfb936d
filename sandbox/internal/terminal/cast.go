package terminal

// This file records a terminal as asciicast v2: https://docs.asciinema.org/manual/asciicast/v2/. Each line is a JSON
// value: first the header, then events [seconds, code, data] in the order of time. The recording does not contain
// what the user types, because that may be a password.

import (
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// cast writes a recording of a terminal. Its methods may be called on nil, and in any goroutine. cast ignores errors of
// the writer, so the writer itself must report them.
type cast struct {
	mu    sync.Mutex
	w     io.Writer
	began time.Time
	rest  []byte // the beginning of an incomplete character
	line  []byte
}

// newCast writes the header. From the environment the header contains only variables that a player needs: TERM and
// SHELL.
func newCast(w io.Writer, size unix.Winsize, env []string) *cast {
	c := &cast{w: w, began: time.Now()}
	c.line = append(c.line, `{"version": 2, "width": `...)
	c.line = strconv.AppendUint(c.line, uint64(size.Col), 10)
	c.line = append(c.line, `, "height": `...)
	c.line = strconv.AppendUint(c.line, uint64(size.Row), 10)
	c.line = append(c.line, `, "timestamp": `...)
	c.line = strconv.AppendInt(c.line, c.began.Unix(), 10)
	c.line = append(c.line, `, "env": {`...)
	sep := ""
	for _, v := range env {
		if name, value, _ := strings.Cut(v, "="); name == "TERM" || name == "SHELL" {
			c.line = append(append(append(c.line, sep...), '"'), name...)
			c.line = appendJSON(append(c.line, `": `...), []byte(value))
			sep = ", "
		}
	}
	c.line = append(c.line, "}}\n"...)
	_, _ = w.Write(c.line)
	return c
}

// output records output of the task. A character may be split between two calls.
func (c *cast) output(b []byte) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.rest) > 0 {
		b = append(c.rest, b...)
	}
	whole := len(b) - incomplete(b)
	c.event('o', b[:whole])
	c.rest = append([]byte(nil), b[whole:]...)
}

// resize records a new size.
func (c *cast) resize(size unix.Winsize) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.event('r', []byte(strconv.Itoa(int(size.Col))+"x"+strconv.Itoa(int(size.Row))))
}

// close records the bytes of an incomplete character, and ends the recording.
func (c *cast) close() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.event('o', c.rest)
	c.rest, c.w = nil, io.Discard
}

func (c *cast) event(code byte, data []byte) {
	if len(data) == 0 {
		return
	}
	c.line = append(c.line[:0], '[')
	c.line = strconv.AppendFloat(c.line, time.Since(c.began).Seconds(), 'f', 6, 64)
	c.line = append(c.line, `, "`...)
	c.line = append(append(c.line, code), `", `...)
	c.line = append(appendJSON(c.line, data), "]\n"...)
	_, _ = c.w.Write(c.line)
}

// incomplete returns how many bytes at the end of b may be the beginning of a character whose rest is still to come.
func incomplete(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if at := b[len(b)-n:]; utf8.RuneStart(at[0]) {
			if at[0] >= utf8.RuneSelf && !utf8.FullRune(at) {
				return n
			}
			return 0
		}
	}
	return 0
}

// appendJSON appends a JSON string. Bytes that are not UTF-8 become U+FFFD, because JSON cannot contain them.
func appendJSON(to, b []byte) []byte {
	const hex = "0123456789abcdef"
	to = append(to, '"')
	for i := 0; i < len(b); {
		c := b[i]
		switch {
		case c == '"' || c == '\\':
			to = append(to, '\\', c)
		case c < ' ' || c == 0x7f:
			to = append(to, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		case c < utf8.RuneSelf:
			to = append(to, c)
		default:
			r, n := utf8.DecodeRune(b[i:])
			to = utf8.AppendRune(to, r)
			i += n
			continue
		}
		i++
	}
	return append(to, '"')
}
