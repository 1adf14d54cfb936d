package recording

// This file reads JSON strings: RFC 8259.

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// string reads a JSON string. The result is valid until the next string is read.
func (d *decoder) string() []byte {
	if !d.take('"') {
		d.fail("a string is expected at column " + strconv.Itoa(d.at+1))
		return nil
	}
	from := d.at
	for d.at < len(d.in) {
		switch c := d.in[d.at]; {
		case c == '"':
			d.at++
			return d.in[from : d.at-1]
		case c == '\\' || c >= utf8.RuneSelf:
			return d.escaped(from)
		case c < ' ':
			d.fail("a control character in a string")
			return nil
		}
		d.at++
	}
	d.fail("a string without its end")
	return nil
}

// escaped reads the rest of a string that contains an escape, or bytes that are not ASCII.
func (d *decoder) escaped(from int) []byte {
	d.buf = append(d.buf[:0], d.in[from:d.at]...)
	for d.at < len(d.in) && d.err == "" {
		c := d.in[d.at]
		switch {
		case c == '"':
			d.at++
			return d.buf
		case c == '\\':
			d.at++
			d.escape()
		case c < ' ':
			d.fail("a control character in a string")
		case c < utf8.RuneSelf:
			d.buf = append(d.buf, c)
			d.at++
		default:
			r, n := utf8.DecodeRune(d.in[d.at:])
			if r == utf8.RuneError && n == 1 {
				d.fail("a byte that is not UTF-8, at column " + strconv.Itoa(d.at+1))
				d.hint = `such a byte of a file's name is written \udcXX`
			}
			d.buf = append(d.buf, d.in[d.at:d.at+n]...)
			d.at += n
		}
	}
	d.fail("a string without its end")
	return nil
}

// escape reads the rest of an escape, after the backslash.
func (d *decoder) escape() {
	if d.at >= len(d.in) {
		return
	}
	c := d.in[d.at]
	d.at++
	switch c {
	case '"', '\\', '/':
		d.buf = append(d.buf, c)
	case 'b':
		d.buf = append(d.buf, '\b')
	case 'f':
		d.buf = append(d.buf, '\f')
	case 'n':
		d.buf = append(d.buf, '\n')
	case 'r':
		d.buf = append(d.buf, '\r')
	case 't':
		d.buf = append(d.buf, '\t')
	case 'u':
		d.unicode()
	default:
		d.fail("an unknown escape \\" + string(rune(c)))
	}
}

// unicode decodes four hexadecimal digits. If they are the first half of a surrogate pair, it decodes the second half
// too. A lone \udc80 to \udcff stands for a byte.
func (d *decoder) unicode() {
	r := d.hex4()
	switch {
	case 0xdc80 <= r && r <= 0xdcff:
		d.buf = append(d.buf, byte(r))
	case !utf16.IsSurrogate(r):
		d.buf = utf8.AppendRune(d.buf, r)
	case d.take('\\') && d.take('u'):
		if r = utf16.DecodeRune(r, d.hex4()); r != utf8.RuneError {
			d.buf = utf8.AppendRune(d.buf, r)
			return
		}
		fallthrough
	default:
		d.fail("half of a surrogate pair")
	}
}

func (d *decoder) hex4() (r rune) {
	if len(d.in)-d.at < 4 {
		d.fail("\\u has four digits")
		return 0
	}
	v, err := strconv.ParseUint(string(d.in[d.at:d.at+4]), 16, 16)
	if err != nil {
		d.fail("\\u has four digits")
	}
	d.at += 4
	return rune(v)
}
