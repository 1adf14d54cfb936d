package policy

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Error describes one thing that is wrong with a profile.
type Error struct {
	Pos  Pos
	Msg  string // such as "mounts[3]: unknown key \"mdoe\""
	Hint string // what to do about it, such as "did you mean \"mode\"?"
	Line string // the offending line of the file; "" if there is none
}

// Error returns the message after its position. The offending line follows, with a mark below the column.
func (e *Error) Error() string {
	var b strings.Builder
	if at := e.Pos.String(); at != "" {
		b.WriteString(at)
		b.WriteString(": ")
	}
	b.WriteString(e.Msg)
	if e.Hint != "" {
		b.WriteString("; ")
		b.WriteString(e.Hint)
	}
	if e.Line != "" {
		writeExcerpt(&b, e.Line, e.Pos.Col)
	}
	return b.String()
}

// Errors holds all errors of a profile, in the order of the file.
type Errors []*Error

func (e Errors) Error() string {
	var b strings.Builder
	for i, x := range e {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(x.Error())
	}
	return b.String()
}

// Unwrap returns the single errors, so that errors.As finds each of them.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, x := range e {
		all[i] = x
	}
	return all
}

// err returns e as an error, or nil if e is empty.
func (e Errors) err() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// String returns file:line:col. For a flag it returns the flag as the user wrote it, and "" for a built-in default.
func (p Pos) String() string {
	if p.Flag != "" {
		return p.Flag
	}
	return p.at(p.Col)
}

// Short is String without the column.
func (p Pos) Short() string {
	if p.Flag != "" {
		return p.Flag
	}
	return p.at(0)
}

func (p Pos) at(col int) string {
	s := printable(p.File)
	if p.Line > 0 {
		s += ":" + strconv.Itoa(p.Line)
		if col > 0 {
			s += ":" + strconv.Itoa(col)
		}
	}
	return s
}

// maxExcerpt is the number of characters of an offending line that an error shows.
const maxExcerpt = 160

func writeExcerpt(b *strings.Builder, line string, col int) {
	runes := []rune(strings.TrimRight(line, " \t"))
	from := 0
	if col > maxExcerpt {
		from = col - maxExcerpt/2
	}
	if from > len(runes) {
		from = len(runes)
	}
	to := min(len(runes), from+maxExcerpt)
	b.WriteString("\n    ")
	b.WriteString(printable(string(runes[from:to])))
	if col < 1 || col-1 > to {
		return
	}
	b.WriteString("\n    ")
	for range utf8.RuneCountInString(printable(string(runes[from : col-1]))) {
		b.WriteByte(' ')
	}
	b.WriteByte('^')
}

// printable escapes everything that a terminal would interpret: control characters, bidirectional overrides and invalid
// UTF-8. In CVE-2023-28101 such characters let an application rewrite the permission prompt about itself.
func printable(s string) string {
	plain := true
	for _, r := range s {
		if r == utf8.RuneError || r < ' ' || !unicode.IsPrint(r) {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\t':
			b.WriteByte(' ')
		case unicode.IsPrint(r) && r != utf8.RuneError:
			b.WriteRune(r)
		default:
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
	}
	return b.String()
}

// Quote returns s in double quotes. It shortens s if s is long.
func Quote(s string) string {
	const most = 80
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return strconv.Quote(s)
}

// suggest returns the candidate that the user probably meant by name, or "" if no candidate is similar.
func suggest(name string, candidates []string) string {
	const longest = 40 // a longer text is not a misspelt word
	if len(name) > longest {
		return ""
	}
	best, at := "", max(1, len(name)/3)+1
	for _, c := range candidates {
		if len(c) > longest {
			continue
		}
		if d := distance(name, c); d < at && d < len(c) {
			best, at = c, d
		}
	}
	return best
}

// didYouMean returns a hint that names the candidate found by suggest, or "" if suggest finds none.
func didYouMean(name string, candidates []string) string {
	if s := suggest(name, candidates); s != "" {
		return "did you mean " + Quote(s) + "?"
	}
	return ""
}

// Suggest returns the candidate that the user probably meant by name, or "" if no candidate is similar.
func Suggest(name string, candidates []string) string { return suggest(name, candidates) }

// distance counts the insertions, deletions, substitutions and swaps of neighbours that turn a into b.
func distance(a, b string) int {
	var older, old, row [42]int
	for j := 0; j <= len(b); j++ {
		old[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if lower(a[i-1]) == lower(b[j-1]) {
				cost = 0
			}
			row[j] = min(old[j]+1, row[j-1]+1, old[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
		older, old = old, row
	}
	return old[len(b)]
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}
