// Package mdoc writes manual pages in the language mdoc: mdoc(7), mandoc_char(7).
package mdoc

import (
	"strings"
	"time"
)

// A Page is a manual page that is being written. Each method appends to it. The methods escape text: nothing in it acts
// as a macro or an escape.
type Page struct{ b strings.Builder }

// New begins the page with a title, such as "CORDON-RUN", in a section from 1 to 9. date is the day of its content, and
// of is the version of the program that the page describes.
func New(title, section, of string, date time.Time) *Page {
	p := &Page{}
	p.macro("Dd", date.UTC().Format("January 2, 2006"))
	p.macro("Dt", strings.ToUpper(title), section)
	p.macro("Os", of)
	return p
}

// Bytes returns the page as a file.
func (p *Page) Bytes() []byte { return []byte(p.b.String()) }

// Name writes the section NAME: the name of the subject, and a description in a few words.
func (p *Page) Name(name, about string) {
	p.Section("NAME")
	p.macro("Nm", name)
	p.macro("Nd", strings.TrimSuffix(about, "."))
}

// Section begins a section.
func (p *Page) Section(title string) { p.macro("Sh", title) }

// Subsection begins a subsection.
func (p *Page) Subsection(title string) { p.macro("Ss", title) }

// Synopsis writes the section SYNOPSIS from a usage line. In the usage line, words in capitals are arguments, and words
// that begin with a dash are flags. Brackets and bars have their usual meaning.
func (p *Page) Synopsis(name, usage string) {
	p.Section("SYNOPSIS")
	p.macro("Nm", name)
	for part := range strings.FieldsSeq(usage) {
		p.b.WriteString(usageWord(part) + "\n")
	}
}

// usageWord writes a word of a usage line with its fonts.
func usageWord(word string) string {
	var b strings.Builder
	for word != "" {
		n := strings.IndexAny(word, "[]{}|.")
		if n == 0 {
			b.WriteString(escape(word[:1]))
			word = word[1:]
			continue
		}
		if n < 0 {
			n = len(word)
		}
		b.WriteString(font(word[:n]))
		word = word[n:]
	}
	return guard(b.String())
}

// font writes a word in bold if the user types it as it is, and in italics if the user replaces it by a value.
func font(word string) string {
	switch {
	case word == "flags", strings.TrimLeft(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-=@:") == "" && word[0] != '-':
		return `\fI` + escape(word) + `\fR`
	}
	return `\fB` + escape(word) + `\fR`
}

// Text writes paragraphs. An empty line separates two of them. Indented lines are shown as they are.
func (p *Page) Text(text string) {
	var indented []string
	literal := func() {
		if indented != nil {
			p.Literal(strings.Join(indented, "\n"))
		}
		indented = nil
	}
	var words []string
	paragraph := func() {
		if words != nil {
			p.paragraph(strings.Join(words, " "))
		}
		words = nil
	}
	for line := range strings.Lines(strings.Trim(text, "\n") + "\n") {
		line = strings.TrimRight(line, "\n \t")
		switch {
		case line == "":
			paragraph()
			if indented != nil {
				indented = append(indented, "")
			}
		case strings.HasPrefix(line, "  "):
			paragraph()
			indented = append(indented, line[2:])
		default:
			literal()
			words = append(words, line)
		}
	}
	paragraph()
	literal()
}

// paragraph writes each sentence on its own line, as mdoc(7) requires.
func (p *Page) paragraph(text string) {
	if !p.justBegun() {
		p.macro("Pp")
	}
	for text != "" {
		end := len(text)
		for _, stop := range []string{". ", "! ", "? ", ".) "} {
			if i := strings.Index(text, stop); i >= 0 {
				end = min(end, i+len(stop))
			}
		}
		p.b.WriteString(guard(escape(strings.TrimSuffix(text[:end], " "))) + "\n")
		text = text[end:]
	}
}

// justBegun reports whether a section or an item of a list began with the last line, so that no space may follow.
func (p *Page) justBegun() bool {
	s := strings.TrimSuffix(p.b.String(), "\n")
	last := s[strings.LastIndexByte(s, '\n')+1:]
	return strings.HasPrefix(last, ".Sh ") || strings.HasPrefix(last, ".Ss ") || strings.HasPrefix(last, ".It ")
}

// Literal writes lines as they are.
func (p *Page) Literal(text string) {
	p.macro("Bd", "-literal", "-offset", "indent")
	for line := range strings.Lines(strings.Trim(text, "\n")) {
		p.b.WriteString(guard(escape(strings.TrimRight(line, "\n"))) + "\n")
	}
	p.macro("Ed")
}

// An Entry is an item of a list: a name in bold, a placeholder for its value in italics, and text.
type Entry struct{ Name, Value, Text string }

// List writes a list of names, each with a text.
func (p *Page) List(entries []Entry) {
	if len(entries) == 0 {
		return
	}
	p.macro("Bl", "-tag", "-width", "Ds")
	for _, e := range entries {
		head := `\fB` + escape(e.Name) + `\fR`
		if e.Value != "" {
			head += ` \fI` + escape(e.Value) + `\fR`
		}
		p.b.WriteString(".It " + quote(head) + "\n")
		p.Text(e.Text)
	}
	p.macro("El")
}

// See writes the section SEE ALSO. Each page is a name with its section, such as "cordon-run(1)". The pages must have
// the order that mdoc(7) requires: by section, then by name.
func (p *Page) See(pages []string) {
	p.Section("SEE ALSO")
	for i, page := range pages {
		name, section, _ := strings.Cut(strings.TrimSuffix(page, ")"), "(")
		if i < len(pages)-1 {
			section += " ,"
		}
		p.b.WriteString(".Xr " + escape(name) + " " + section + "\n")
	}
}

// macro writes a line that begins with a macro.
func (p *Page) macro(name string, args ...string) {
	p.b.WriteString("." + name)
	for _, a := range args {
		p.b.WriteByte(' ')
		if strings.HasPrefix(a, "-") && !strings.Contains(a, " ") {
			p.b.WriteString(a) // an argument of Bl or Bd
			continue
		}
		p.b.WriteString(quote(escape(a)))
	}
	p.b.WriteByte('\n')
}

// quote makes one argument of a macro out of text.
func quote(text string) string {
	if text != "" && !strings.ContainsAny(text, " \"\t") {
		return text
	}
	return `"` + strings.ReplaceAll(text, `"`, `""`) + `"`
}

// escape writes text so that roff shows it unchanged. For roff a backslash begins an escape, and some other characters
// become typographic variants, which nobody could copy into a shell.
func escape(text string) string {
	var b strings.Builder
	for i := range len(text) {
		switch c := text[i]; c {
		case '\\':
			b.WriteString(`\e`)
		case '-':
			b.WriteString(`\-`)
		case '\'':
			b.WriteString(`\(aq`)
		case '`':
			b.WriteString(`\(ga`)
		case '^':
			b.WriteString(`\(ha`)
		case '~':
			b.WriteString(`\(ti`)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// guard escapes the first character of a line if roff would treat the line as a macro.
func guard(line string) string {
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		return `\&` + line
	}
	return line
}
