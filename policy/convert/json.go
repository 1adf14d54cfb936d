package convert

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"cordon/policy"
	"cordon/policy/phrase"
)

// This file parses JSON as RFC 8259 describes it. It does not use encoding/json, because that package accepts duplicate
// keys (and uses the last), keys in any case and invalid UTF-8, and does not say at which position a value is.

// MaxFile is how many bytes a file may have. A config.json contains more than its seccomp section.
const MaxFile = 4 << 20

// These are further limits on a file, because anyone may have written it.
const (
	maxDepth  = 64
	maxValues = 200_000
)

type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindString
	kindArray
	kindObject
)

func (k kind) String() string {
	return [...]string{"null", "true or false", "a number", "a string", "a list", "an object"}[k]
}

// value is a JSON value with its place.
type value struct {
	kind      kind
	text      string // a string, decoded; or a number, as written
	members   []member
	items     []*value
	off, line int // off counts bytes of the text; line counts from 1
}

type member struct {
	name *value
	val  *value
}

// get returns the member of that name, or nil if there is none or it is null.
func (v *value) get(name string) *value {
	for _, m := range v.members {
		if m.name.text == name && m.val.kind != kindNull {
			return m.val
		}
	}
	return nil
}

// scanner reads one file.
type scanner struct {
	file   string
	src    string
	pos    int
	line   int
	depth  int
	values int
}

// parseJSON reads one value. Nothing may follow it. The error is a *policy.Error.
func parseJSON(file, text string) (*value, error) {
	s := &scanner{file: file, src: text, line: 1}
	if len(text) > MaxFile {
		return nil, &policy.Error{Pos: policy.Pos{File: file}, Msg: "the file is longer than " + strconv.Itoa(MaxFile) + " bytes"}
	}
	v, err := s.value("")
	if err == nil {
		if s.space(); s.pos < len(s.src) {
			err = s.fail("", "something follows the end of the JSON value", "a file holds one profile")
		}
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (s *scanner) here() *value { return &value{off: s.pos, line: s.line} }

// fail returns an error at the current position. path is the path of the value that contains the position.
func (s *scanner) fail(path, msg, hint string) *policy.Error {
	return errorAt(s.file, s.src, path, s.here(), msg, hint)
}

func errorAt(file, src, path string, v *value, msg, hint string) *policy.Error {
	if path != "" {
		msg = path + ": " + msg
	}
	from := strings.LastIndexByte(src[:v.off], '\n') + 1
	line, _, _ := strings.Cut(src[from:], "\n")
	at := policy.Pos{File: file, Line: v.line, Col: utf8.RuneCountInString(src[from:v.off]) + 1}
	return &policy.Error{Pos: at, Msg: msg, Hint: hint, Line: strings.ToValidUTF8(line, "\ufffd")}
}

func (s *scanner) space() {
	for s.pos < len(s.src) {
		switch s.src[s.pos] {
		case '\n':
			s.line++
		case ' ', '\t', '\r':
		default:
			return
		}
		s.pos++
	}
}

func (s *scanner) peek() byte {
	if s.pos == len(s.src) {
		return 0
	}
	return s.src[s.pos]
}

func (s *scanner) value(path string) (*value, *policy.Error) {
	s.space()
	if s.values++; s.values > maxValues {
		return nil, s.fail(path, "more than "+strconv.Itoa(maxValues)+" values", "")
	}
	v := s.here()
	switch c := s.peek(); {
	case c == '{' || c == '[':
		if s.depth++; s.depth > maxDepth {
			return nil, s.fail(path, "nested more than "+strconv.Itoa(maxDepth)+" deep", "")
		}
		s.pos++
		var err *policy.Error
		if c == '{' {
			err = s.object(v, path)
		} else {
			err = s.array(v, path)
		}
		s.depth--
		return v, err
	case c == '"':
		v.kind = kindString
		text, err := s.text(path)
		v.text = text
		return v, err
	case c == '-' || '0' <= c && c <= '9':
		v.kind = kindNumber
		text, err := s.number(path)
		v.text = text
		return v, err
	}
	for _, w := range [...]struct {
		text string
		kind kind
	}{{"null", kindNull}, {"true", kindBool}, {"false", kindBool}} {
		if strings.HasPrefix(s.src[s.pos:], w.text) {
			s.pos += len(w.text)
			v.kind, v.text = w.kind, w.text
			return v, nil
		}
	}
	return nil, s.unexpected(path, "a value")
}

func (s *scanner) unexpected(path, want string) *policy.Error {
	if s.pos == len(s.src) {
		return s.fail(path, "the file ends where "+want+" is due", "is it cut off?")
	}
	r, n := utf8.DecodeRuneInString(s.src[s.pos:])
	if r == utf8.RuneError && n == 1 {
		return s.fail(path, "invalid UTF-8", "")
	}
	hint := ""
	switch r {
	case '/', '#':
		hint = "JSON has no comments"
	case '\'':
		hint = "JSON has double quotes only"
	case '}', ']':
		hint = "no comma before a closing bracket"
	}
	return s.fail(path, "not JSON: want "+want+", not "+strconv.Quote(string(r)), hint)
}

func (s *scanner) object(v *value, path string) *policy.Error {
	v.kind = kindObject
	if s.space(); s.peek() == '}' {
		s.pos++
		return nil
	}
	seen := map[string]int{}
	for {
		if s.space(); s.peek() != '"' {
			return s.unexpected(path, "a key in double quotes")
		}
		name := s.here()
		name.kind = kindString
		text, err := s.text(path)
		if err != nil {
			return err
		}
		name.text = text
		if line, twice := seen[text]; twice {
			return errorAt(s.file, s.src, path, name, "duplicate key "+policy.Quote(text), "it is also in line "+strconv.Itoa(line))
		}
		seen[text] = name.line
		if s.space(); s.peek() != ':' {
			return s.unexpected(path, `":"`)
		}
		s.pos++
		val, err := s.value(join(path, text))
		if err != nil {
			return err
		}
		v.members = append(v.members, member{name, val})
		if more, err := s.more(path, '}'); !more {
			return err
		}
	}
}

func (s *scanner) array(v *value, path string) *policy.Error {
	v.kind = kindArray
	if s.space(); s.peek() == ']' {
		s.pos++
		return nil
	}
	for {
		item, err := s.value(phrase.Index(path, len(v.items)))
		if err != nil {
			return err
		}
		v.items = append(v.items, item)
		if more, err := s.more(path, ']'); !more {
			return err
		}
	}
}

// more reads the comma, or the bracket that ends a list or object. It returns true for a comma.
func (s *scanner) more(path string, end byte) (bool, *policy.Error) {
	s.space()
	switch s.peek() {
	case ',':
		s.pos++
		return true, nil
	case end:
		s.pos++
		return false, nil
	}
	return false, s.unexpected(path, `"," or "`+string(end)+`"`)
}

// join returns the path of a member. It shortens a long key.
func join(path, name string) string {
	if len(name) > 40 {
		name = strings.ToValidUTF8(name[:40], "") + "…"
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

// number reads a number and returns its text.
func (s *scanner) number(path string) (string, *policy.Error) {
	from := s.pos
	digits := func() int {
		n := s.pos
		for '0' <= s.peek() && s.peek() <= '9' {
			s.pos++
		}
		return s.pos - n
	}
	if s.peek() == '-' {
		s.pos++
	}
	first := s.peek()
	n := digits()
	if n == 0 || n > 1 && first == '0' {
		return "", s.fail(path, "not JSON: malformed number", "")
	}
	if s.peek() == '.' {
		if s.pos++; digits() == 0 {
			return "", s.fail(path, "not JSON: malformed number", "")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		if digits() == 0 {
			return "", s.fail(path, "not JSON: malformed number", "")
		}
	}
	return s.src[from:s.pos], nil
}

// text reads a string and decodes it.
func (s *scanner) text(path string) (string, *policy.Error) {
	s.pos++ // "
	var b strings.Builder
	for {
		r, n := utf8.DecodeRuneInString(s.src[s.pos:])
		switch {
		case n == 0:
			return "", s.unexpected(path, "a closing quote")
		case r == utf8.RuneError && n == 1:
			return "", s.fail(path, "invalid UTF-8", "")
		case r < ' ':
			return "", s.fail(path, "control character in a string", "is the closing quote missing?")
		case r == '"':
			s.pos++
			return b.String(), nil
		case r == '\\':
			if err := s.escape(&b, path); err != nil {
				return "", err
			}
			continue
		}
		b.WriteRune(r)
		s.pos += n
	}
}

func (s *scanner) escape(b *strings.Builder, path string) *policy.Error {
	rest := s.src[s.pos:]
	if len(rest) < 2 {
		s.pos = len(s.src)
		return s.unexpected(path, "a closing quote")
	}
	if i := strings.IndexByte(`"\/bfnrt`, rest[1]); i >= 0 {
		b.WriteByte("\"\\/\b\f\n\r\t"[i])
		s.pos += 2
		return nil
	}
	r, ok := hex4(rest)
	if !ok {
		return s.fail(path, "not JSON: malformed escape in a string", "")
	}
	s.pos += 6
	if utf16.IsSurrogate(r) {
		low, ok := hex4(s.src[s.pos:])
		if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
			s.pos -= 6
			return s.fail(path, "half a surrogate pair in a string", "")
		}
		s.pos += 6
	}
	b.WriteRune(r)
	return nil
}

// hex4 reads \uXXXX.
func hex4(s string) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(s[2:6], 16, 16)
	return rune(n), err == nil
}
