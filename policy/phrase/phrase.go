// Package phrase builds the short texts that every part of the program needs. It imports no other package of cordon.
package phrase

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Cause returns the innermost error. Package os adds an operation and a path, which the caller names itself.
func Cause(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

// Prefixed returns s with a prefix, or "" if s is empty.
func Prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

// Counted returns a number with a noun. The plural of the noun must end in s.
func Counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// Index returns the name of an element of a list.
func Index(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }

// Short quotes s. If s is long, Short quotes only its beginning.
func Short(s string) string {
	const most = 80
	if len(s) > most {
		n := most
		for n > most-utf8.UTFMax && !utf8.RuneStart(s[n]) { // a cut within a character would show it as \x bytes
			n--
		}
		s = s[:n] + "…"
	}
	return strconv.Quote(s)
}

// Shell returns a word as a POSIX shell reads it back: with single quotes around it if it has any other character than
// letters, digits and a few signs.
func Shell(word string) string {
	const signs = "_@%+=:,./-"
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(signs, r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
