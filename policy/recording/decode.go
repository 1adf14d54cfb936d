package recording

import (
	"strconv"

	"cordon/policy/phrase"
)

// decoder reads the JSON of one line: an object of strings, numbers, true and false, which may also contain one list
// of strings and one object of numbers. encoding/json takes fifteen times as long, and a recording may have millions
// of lines.
type decoder struct {
	in   []byte
	at   int
	r    *Reader
	seen uint32 // the keys read so far: bit i stands for keys[i]
	err  string // the first error
	hint string
	buf  []byte // for strings with escapes

	executable Executable
	number     uint64 // the value of id or records
}

// keys lists the keys that a line may have, with the kinds of lines in which each may occur: c p n k x v for the
// events, e for an executable, z for the end.
var keys = [...]struct{ name, kinds string }{
	{"kind", "cpnkxvez"},
	{"exe", "cpnkxv"},
	{"n", "cpnkx"},
	{"errno", "cpnkx"},
	{"call", "c"},
	{"arch", "c"},
	{"args", "c"},
	{"path", "pxe"},
	{"via", "px"},
	{"access", "p"},
	{"type", "p"},
	{"op", "n"},
	{"family", "n"},
	{"proto", "n"},
	{"addr", "n"},
	{"port", "n"},
	{"name", "n"},
	{"cap", "k"},
	{"by", "k"},
	{"what", "v"},
	{"value", "v"},
	{"id", "e"},
	{"build_id", "e"},
	{"static", "e"},
	{"records", "z"},
}

// letter returns the letter that stands for a kind in keys.
func letter(kind string) byte {
	switch kind {
	case "call":
		return 'c'
	case "path":
		return 'p'
	case "net":
		return 'n'
	case "cap":
		return 'k'
	case "exec":
		return 'x'
	case "peak":
		return 'v'
	case "executable":
		return 'e'
	case "end":
		return 'z'
	}
	return 0
}

// line reads one line and returns its kind.
func (d *decoder) line(e *Event) (kind string) {
	*e = Event{Exe: -1, Count: 1, Args: e.Args[:0]}
	d.object(func(key []byte) { d.value(key, e, &kind) })
	d.space()
	if d.err == "" && d.at < len(d.in) {
		d.fail("something after the object")
	}
	if d.err != "" {
		return kind
	}
	c := letter(kind)
	if c == 0 {
		if kind == "" {
			d.fail("a record without a kind")
		} else {
			d.fail("kind: " + phrase.Short(kind) + " is not known")
		}
		d.hint = "a newer cordon may have written it"
		return kind
	}
	for i := range keys {
		if d.seen&(1<<i) != 0 && !has(keys[i].kinds, c) {
			d.fail(phrase.Short(keys[i].name) + " has no place in a record of kind " + kind)
		}
	}
	if len(e.Args) == 0 {
		e.Args = nil
	}
	e.Kind = Kind(kind)
	return kind
}

func has(s string, c byte) bool {
	for i := range len(s) {
		if s[i] == c {
			return true
		}
	}
	return false
}

// value reads the value of a key.
func (d *decoder) value(name []byte, e *Event, kind *string) {
	i := 0
	for i < len(keys) && keys[i].name != string(name) {
		i++
	}
	switch {
	case i == len(keys):
		d.fail("unknown key " + phrase.Short(string(name)))
		d.hint = "a newer cordon may have written it"
		return
	case d.seen&(1<<i) != 0:
		d.fail(phrase.Short(keys[i].name) + " twice")
		return
	}
	d.seen |= 1 << i
	key := keys[i].name
	if text := d.textFor(key, e, kind); text != nil {
		*text = d.text(key)
		return
	}
	switch key {
	case "exe":
		e.Exe = int(min(d.uint(), MaxExecutables))
	case "n":
		e.Count = d.uint()
	case "args":
		d.object(func(name []byte) { d.arg(e, d.r.same(name)) })
	case "access":
		d.access(e)
	case "type":
		e.Type = FileType(d.word())
	case "what":
		e.Peak = Peak(d.word())
	case "value":
		e.Value = d.uint()
	case "port":
		port := d.uint()
		if port > 65535 {
			d.fail("port: a port has 16 bits")
		}
		e.Net.Port = uint16(port)
	case "id", "records":
		d.number = d.uint()
	case "static":
		d.executable.Static = d.bool()
	}
}

// textFor returns a pointer to the field for a key's text, or nil if the key has no text.
func (d *decoder) textFor(key string, e *Event, kind *string) *string {
	switch key {
	case "kind":
		return kind
	case "errno":
		return &e.Errno
	case "call":
		return &e.Call
	case "arch":
		return &e.Arch
	case "path":
		return &e.Path
	case "via":
		return &e.Via
	case "op":
		return &e.Net.Op
	case "family":
		return &e.Net.Family
	case "proto":
		return &e.Net.Proto
	case "addr":
		return &e.Net.Addr
	case "name":
		return &e.Net.Name
	case "cap":
		return &e.Cap
	case "by":
		return &e.By
	case "build_id":
		return &d.executable.BuildID
	}
	return nil
}

// text reads a string. For keys with few different values, equal strings share memory.
func (d *decoder) text(key string) string {
	switch key {
	case "path":
		s := string(d.string())
		d.executable.Path = s
		return s
	case "via", "addr", "name", "build_id":
		return string(d.string())
	}
	return d.word()
}

// maxWords bounds how many strings a Reader remembers.
const maxWords = 4096

func (d *decoder) word() string { return d.r.same(d.string()) }

// same returns b as a string. While there are few different strings, equal ones share memory.
func (r *Reader) same(b []byte) string {
	if s, ok := r.calls[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(s) <= maxName && len(r.calls) < maxWords {
		r.calls[s] = s
	}
	return s
}

func (d *decoder) arg(e *Event, name string) {
	if len(e.Args) == maxArgs {
		d.fail("args: a call has six")
		return
	}
	e.Args = append(e.Args, Arg{name, d.uint()})
}

func (d *decoder) access(e *Event) {
	d.space()
	if !d.take('[') {
		d.fail("access: a list is expected")
		return
	}
	for n := 0; d.err == "" && !d.take(']'); n++ {
		if n > 0 && !d.take(',') {
			d.fail("access: a comma is expected")
			return
		}
		d.space()
		b := d.string()
		bit := ParseAccess(string(b))
		switch {
		case d.err != "":
		case bit == 0:
			d.fail("access: " + phrase.Short(string(b)) + " is not known")
		case e.Access&bit != 0:
			d.fail("access: " + phrase.Short(string(b)) + " twice")
		}
		e.Access |= bit
		d.space()
	}
}

// object reads an object. It calls value to read the value of each key. The key is valid until value reads a string.
func (d *decoder) object(value func(key []byte)) {
	d.space()
	if !d.take('{') {
		d.fail("not a JSON object")
		return
	}
	d.space()
	for n := 0; d.err == "" && !d.take('}'); n++ {
		if n > 0 && !d.take(',') {
			d.fail("a comma is expected at column " + strconv.Itoa(d.at+1))
			return
		}
		d.space()
		key := d.string()
		d.space()
		if !d.take(':') {
			d.fail("a colon is expected at column " + strconv.Itoa(d.at+1))
			return
		}
		d.space()
		value(key)
		d.space()
	}
}

func (d *decoder) fail(msg string) {
	if d.err == "" {
		d.err = msg
	}
}

func (d *decoder) space() {
	for d.at < len(d.in) && (d.in[d.at] == ' ' || d.in[d.at] == '\t' || d.in[d.at] == '\r' || d.in[d.at] == '\n') {
		d.at++
	}
}

func (d *decoder) take(c byte) bool {
	if d.at < len(d.in) && d.in[d.at] == c {
		d.at++
		return true
	}
	return false
}

func (d *decoder) bool() bool {
	for _, w := range [...]string{"true", "false"} {
		if len(d.in)-d.at >= len(w) && string(d.in[d.at:d.at+len(w)]) == w {
			d.at += len(w)
			return w == "true"
		}
	}
	d.fail("true or false is expected at column " + strconv.Itoa(d.at+1))
	return false
}

// uint reads a number without sign, fraction or exponent.
func (d *decoder) uint() uint64 {
	from, v := d.at, uint64(0)
	for d.at < len(d.in) && d.in[d.at]-'0' <= 9 {
		c := uint64(d.in[d.at] - '0')
		if v > (1<<64-1-c)/10 {
			d.fail("a number of more than 64 bits")
			return 0
		}
		v = v*10 + c
		d.at++
	}
	if n := d.at - from; n == 0 || n > 1 && d.in[from] == '0' {
		d.fail("a whole number is expected at column " + strconv.Itoa(from+1))
	}
	return v
}
