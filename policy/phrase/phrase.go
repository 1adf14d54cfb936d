// Package phrase builds the short texts that every part of the program needs. It imports no other package of cordon.
package phrase

import (
	"errors"
	"strconv"
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
		s = s[:most] + "…"
	}
	return strconv.Quote(s)
}
