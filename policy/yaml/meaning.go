package yaml

import "strings"

// scalarOf returns the type of a scalar without quotes. A spelling that YAML 1.1 and 1.2 interpret differently is odd,
// because nobody can tell what its writer meant.
func scalarOf(s string) ScalarType {
	switch s {
	case "", "~", "null":
		return NullScalar
	case "true", "false":
		return BoolScalar
	case "=":
		return OddScalar // in YAML 1.1 it marks a default value
	}
	switch strings.ToLower(s) {
	case "null", "true", "false", "yes", "no", "on", "off":
		return OddScalar
	}
	abs := strings.TrimPrefix(s, "-")
	whole, fraction, point := strings.Cut(abs, ".")
	switch {
	case len(s) > 18 && digitsOf(abs, "") == "":
		return OddScalar // more digits than an integer holds
	case canonical(whole) && !point:
		return IntScalar
	case canonical(whole) && fraction != "" && digitsOf(fraction, "") == "":
		return FloatScalar
	case oddNumber(abs), oddNumber(strings.TrimPrefix(s, "+")), isDate(s):
		return OddScalar
	}
	return StrScalar
}

// canonical reports whether s is a whole number in decimal without leading zeros.
func canonical(s string) bool {
	return s != "" && digitsOf(s, "") == "" && (s == "0" || s[0] != '0')
}

// digitsOf returns the part of s after the leading digits. The characters in also count as digits.
func digitsOf(s, also string) string { return strings.TrimLeft(s, "0123456789"+also) }

// oddNumber reports whether some YAML parser takes s for a number: octal, hexadecimal, binary, base 60, with
// separators, with an exponent, or infinity.
func oddNumber(s string) bool {
	low := strings.ToLower(s)
	if low == ".inf" || low == ".nan" {
		return true
	}
	for prefix, digits := range map[string]string{"0x": "abcdef_", "0o": "_", "0b": "_"} {
		if rest, ok := strings.CutPrefix(low, prefix); ok && digitsOf(rest, digits) == "" {
			return true
		}
	}
	if s == "" || strings.Trim(s, "._:") == "" || s[0] == ':' || s[0] == '_' {
		return false
	}
	mantissa, exponent, scientific := strings.Cut(low, "e")
	if scientific {
		return digitsOf(mantissa, "._") == "" && strings.Trim(mantissa, "._") != "" && strings.Count(mantissa, ".") <= 1 &&
			digitsOf(strings.TrimLeft(exponent, "+-"), "") == "" && exponent != ""
	}
	return digitsOf(s, "._:") == "" && strings.Count(s, ".") <= 1
}

// isDate reports whether s begins like a date: 2026-01-31.
func isDate(s string) bool {
	if len(s) < 8 || digitsOf(s[:4], "") != "" || s[4] != '-' {
		return false
	}
	month, day, two := strings.Cut(s[5:], "-")
	return two && month != "" && len(month) <= 2 && digitsOf(month, "") == "" && day != "" && '0' <= day[0] && day[0] <= '9'
}
