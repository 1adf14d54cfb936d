package git

import (
	"bytes"
	"errors"
	"strings"
)

// Var is a variable of a configuration file: git-config(1).
type Var struct {
	Section    string // lower case
	Subsection string // as written; "" for none
	Key        string // lower case
	Value      string
	Dir        string // the directory of the file that sets it, for includes; the caller sets this field
	User       bool   // the variable does not come from a repository; the caller sets this field
	None       bool   // the variable has no "=", which means true
}

// Name returns the variable's name with the section, in lower case, without the subsection.
func (v *Var) Name() string { return v.Section + "." + v.Key }

// ParseConfig reads a configuration file as git does.
func ParseConfig(text []byte) ([]Var, error) {
	return newParser(text).variables()
}

func newParser(text []byte) *parser {
	return &parser{text: bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))}
}

func (p *parser) variables() ([]Var, error) {
	var vars []Var
	var section, sub string
	for {
		p.skip()
		switch c := p.peek(); {
		case c == 0 && p.at >= len(p.text):
			return vars, nil
		case c == '[':
			var err error
			if section, sub, err = p.section(); err != nil {
				return nil, err
			}
		case isLetter(c) && section != "":
			v, err := p.variable()
			if err != nil {
				return nil, err
			}
			v.Section, v.Subsection = section, sub
			vars = append(vars, v)
		default:
			return nil, errors.New("a line is neither a section nor a variable")
		}
	}
}

type parser struct {
	text     []byte
	at       int
	comments strings.Builder // the comments, which git ignores, one per line
}

func (p *parser) peek() byte {
	if p.at >= len(p.text) {
		return 0
	}
	return p.text[p.at]
}

// next returns the next byte, and skips a carriage return before a newline.
func (p *parser) next() byte {
	if p.at+1 < len(p.text) && p.text[p.at] == '\r' && p.text[p.at+1] == '\n' {
		p.at++
	}
	c := p.peek()
	p.at++
	return c
}

// skip skips blanks, empty lines and comments.
func (p *parser) skip() {
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f':
			p.at++
		case c == '#' || c == ';':
			p.skipLine()
		default:
			return
		}
	}
}

var errSection = errors.New("a section header is not closed")

// section reads [name], [name "subsection"], or the old [name.subsection].
func (p *parser) section() (name, sub string, err error) {
	p.at++
	start := p.at
	for isLetter(p.peek()) || isDigit(p.peek()) || p.peek() == '-' || p.peek() == '.' {
		p.at++
	}
	name = strings.ToLower(string(p.text[start:min(p.at, len(p.text))]))
	name, sub, _ = strings.Cut(name, ".")
	for p.peek() == ' ' || p.peek() == '\t' {
		p.at++
	}
	if p.peek() == '"' {
		p.at++
		if sub, err = p.subsection(); err != nil {
			return "", "", err
		}
	}
	if p.next() != ']' || name == "" {
		return "", "", errSection
	}
	return name, sub, nil
}

func (p *parser) subsection() (string, error) {
	var b []byte
	for {
		switch c := p.next(); {
		case c == '"':
			return string(b), nil
		case c == '\\':
			c = p.next()
			if c == '\n' || p.at > len(p.text) {
				return "", errSection
			}
			b = append(b, c)
		case c == '\n' || p.at > len(p.text):
			return "", errSection
		default:
			b = append(b, c)
		}
	}
}

func (p *parser) variable() (v Var, err error) {
	start := p.at
	for isLetter(p.peek()) || isDigit(p.peek()) || p.peek() == '-' {
		p.at++
	}
	v.Key = strings.ToLower(string(p.text[start:min(p.at, len(p.text))]))
	for p.peek() == ' ' || p.peek() == '\t' {
		p.at++
	}
	switch p.peek() {
	case '=':
		p.at++
		v.Value, err = p.value()
		return v, err
	case '\n', '\r', '#', ';':
		v.None = true
		return v, nil
	}
	v.None = true
	if p.at < len(p.text) {
		err = errors.New("a variable has no value")
	}
	return v, err
}

// value reads a value to its end, with its escapes, quotes, comments and continued lines.
func (p *parser) value() (string, error) {
	var b []byte
	quoted, kept := false, 0 // blanks at the end belong to the value only if they are quoted
	for p.peek() == ' ' || p.peek() == '\t' {
		p.at++
	}
	for {
		c := p.next()
		switch {
		case p.at > len(p.text) || c == '\n':
			if quoted {
				return "", errors.New("a quote is not closed")
			}
			return string(b[:kept]), nil
		case !quoted && (c == '#' || c == ';'):
			p.at--
			p.skipLine()
			return string(b[:kept]), nil
		case c == '"':
			quoted = !quoted
			kept = len(b)
			continue
		case c == '\\':
			more, ok := p.escape()
			if !ok {
				return "", errors.New("an escape is not known")
			}
			b = append(b, more...)
		default:
			b = append(b, c)
		}
		if quoted || c != ' ' && c != '\t' {
			kept = len(b)
		}
	}
}

func (p *parser) skipLine() {
	start := p.at
	for p.at < len(p.text) && p.text[p.at] != '\n' {
		p.at++
	}
	p.comments.Write(p.text[start:p.at])
	p.comments.WriteByte('\n')
}

func (p *parser) escape() (string, bool) {
	switch p.next() {
	case '\n':
		return "", true
	case 'n':
		return "\n", true
	case 't':
		return "\t", true
	case 'b':
		return "\b", true
	case '\\':
		return `\`, true
	case '"':
		return `"`, true
	}
	return "", false
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }

// Named makes a variable from a name "section.key" or "section.subsection.key": git-config(1).
func Named(name, value string) Var {
	section, rest, _ := strings.Cut(name, ".")
	dot := strings.LastIndexByte(rest, '.')
	return Var{Section: strings.ToLower(section), Subsection: rest[:max(dot, 0)], Key: strings.ToLower(rest[dot+1:]), Value: value}
}

// Parameters parses $GIT_CONFIG_PARAMETERS, in which git passes the variables of its option -c. It contains words in
// single quotes: 'name=value' or 'name'='value'. Like git, Parameters stops at text that it cannot parse.
func Parameters(text string) (vars []Var) {
	for {
		name, rest, ok := dequote(strings.TrimLeft(text, " \t\n"))
		if !ok {
			return vars
		}
		value, after, assigned := "", "", strings.HasPrefix(rest, "=")
		if assigned {
			value, after, _ = dequote(rest[1:])
			rest = after
		} else {
			name, value, _ = strings.Cut(name, "=")
		}
		vars, text = append(vars, Named(name, value)), rest
	}
}

// dequote removes a word in single quotes from the beginning of a text. A single quote within the word is written
// outside of the quotes, after a backslash.
func dequote(text string) (word, rest string, ok bool) {
	for strings.HasPrefix(text, "'") {
		part, after, closed := strings.Cut(text[1:], "'")
		if !closed {
			return "", "", false
		}
		word, text, ok = word+part, after, true
		if len(text) > 1 && text[0] == '\\' && (text[1] == '\'' || text[1] == '!') {
			word, text = word+text[1:2], text[2:]
			continue
		}
		break
	}
	return word, text, ok
}

// FormatConfig writes variables so that git and ParseConfig read the same variables back.
func FormatConfig(vars []Var) string {
	var b strings.Builder
	for i := range vars {
		v := &vars[i]
		if i == 0 || vars[i-1].Section != v.Section || vars[i-1].Subsection != v.Subsection {
			b.WriteString("[" + v.Section)
			if v.Subsection != "" {
				b.WriteString(` "` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v.Subsection) + `"`)
			}
			b.WriteString("]\n")
		}
		b.WriteString("\t" + v.Key)
		if !v.None {
			b.WriteString(` = "` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`, "\b", `\b`).Replace(v.Value) + `"`)
		}
		b.WriteString("\n")
	}
	return b.String()
}
