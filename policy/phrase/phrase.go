// Package phrase holds the few small texts that every part of the program makes: it stands below all others.
package phrase

import (
	"errors"
	"strconv"
)

// Cause returns the innermost error: what package os wraps around it, an operation and a path, the caller says itself.
func Cause(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

// Prefixed returns s with a prefix, or nothing if s is empty.
func Prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

// Counted returns a number of things, whose plural ends in s.
func Counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// Index returns the name of an element of a list.
func Index(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }

// Short quotes s, or its beginning if it is long.
func Short(s string) string {
	const most = 80
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strconv.Quote(s)
}
