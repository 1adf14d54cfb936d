package policy

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// fault says what is wrong with a value, without a position.
type fault struct{ msg, hint string }

func bad(msg, hint string) *fault { return &fault{msg: msg, hint: hint} }

// unit is a unit that may follow a number of bytes.
type unit struct {
	name   string
	factor int64
}

var sizeUnits = [...]unit{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1},
}

func (f *fault) err() error {
	if f == nil {
		return nil
	}
	return &Error{Msg: f.msg, Hint: f.hint}
}

func parseSize(s string) (int64, *fault) {
	digits := strings.TrimRight(s, "BKMGTPEikmgtpeb")
	name := s[len(digits):]
	for _, u := range sizeUnits {
		if u.name == name {
			return scaled(s, digits, u)
		}
	}
	return 0, bad("unknown unit "+Quote(name), unitHint(digits, name))
}

// unitHint returns a hint that says how to write the unit that the user probably meant.
func unitHint(digits, name string) string {
	if _, ok := decimal(digits); ok && strings.IndexByte("kKmMgGtT", name[0]) >= 0 {
		letter := strings.ToUpper(name[:1])
		return "did you mean " + digits + letter + "iB, or " + digits + strings.Replace(letter, "K", "k", 1) + "B (powers of 1000)?"
	}
	return "units are KiB MiB GiB TiB and kB MB GB TB"
}

// scaled multiplies a decimal number by a unit. The result is exact.
func scaled(s, digits string, u unit) (int64, *fault) {
	whole, fraction, point := strings.Cut(digits, ".")
	n, ok := decimal(whole)
	if !ok || point && (fraction == "" || len(fraction) > 6 || u.factor == 1) {
		return 0, bad(Quote(s)+" is not a size", `a size is a number and a unit, such as 512MiB`)
	}
	if n > math.MaxInt64/u.factor {
		return 0, bad(Quote(s)+" is too large", "")
	}
	n *= u.factor
	if !point {
		return n, nil
	}
	part, ok := decimal(strings.TrimLeft(fraction[:len(fraction)-1], "0") + fraction[len(fraction)-1:])
	if !ok {
		return 0, bad(Quote(s)+" is not a size", `a size is a number and a unit, such as 512MiB`)
	}
	part = part * u.factor / pow10(len(fraction))
	if n > math.MaxInt64-part {
		return 0, bad(Quote(s)+" is too large", "")
	}
	return n + part, nil
}

func pow10(n int) int64 {
	p := int64(1)
	for range n {
		p *= 10
	}
	return p
}

// decimal reads digits without a sign, leading zeros or separators.
func decimal(s string) (int64, bool) {
	if s == "" || len(s) > 18 || len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	n := int64(0)
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n, true
}

// FormatSize returns the shortest exact spelling of n bytes that a profile may contain.
func FormatSize(n int64) string {
	for _, i := range [...]int{3, 2, 1, 0, 7, 6, 5} {
		if u := sizeUnits[i]; n >= u.factor && n%u.factor == 0 {
			return strconv.FormatInt(n/u.factor, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

func parseInt(s string, least, most int64) (int64, *fault) {
	minus := strings.HasPrefix(s, "-")
	n, ok := decimal(strings.TrimPrefix(s, "-"))
	if !ok {
		return 0, bad(Quote(s)+" is not a whole number", "write it in decimal, without separators")
	}
	if minus {
		n = -n
	}
	if n < least || n > most {
		return 0, bad(s+" is out of range", "the range is "+strconv.FormatInt(least, 10)+" to "+strconv.FormatInt(most, 10))
	}
	return n, nil
}

// These are the smallest and the largest number that parseNumber accepts.
const (
	leastNumber = 0.001
	mostNumber  = 1_000_000
)

// parseNumber reads a positive number with up to three decimals, such as 1.5.
func parseNumber(s string) (float64, *fault) {
	whole, fraction, point := strings.Cut(s, ".")
	_, ok := decimal(whole)
	if ok && point {
		_, ok = decimal("1" + fraction)
		ok = ok && fraction != "" && len(fraction) <= 3
	}
	n, err := strconv.ParseFloat(s, 64)
	if err == nil && n > 0 && n < leastNumber {
		return 0, bad(Quote(s)+" is too little", "at least 0.001")
	}
	switch {
	case errors.Is(err, strconv.ErrRange) && n > mostNumber, err == nil && n > mostNumber:
		return 0, bad(Quote(s)+" is too much", "at most "+strconv.Itoa(mostNumber))
	case !ok && err == nil && n > 0:
		return 0, bad(Quote(s)+" is not written with digits, a point and at most three decimals", "such as 2 or 1.5")
	case !ok || err != nil || n <= 0:
		return 0, bad(Quote(s)+" is not a positive number", "such as 2 or 1.5")
	}
	return n, nil
}

// longest is ten years, the longest duration. It is far from an overflow.
const longest = 10 * 365 * 24 * time.Hour

func parseDuration(s string) (time.Duration, *fault) {
	d, f := parseOffset(s)
	if f == nil && d <= 0 {
		return 0, bad(Quote(s)+" is out of range", "a time span is longer than 0")
	}
	return d, f
}

// parseOffset reads a time span that may be negative or zero.
func parseOffset(s string) (time.Duration, *fault) {
	if _, ok := decimal(s); ok && s != "0" {
		return 0, bad(Quote(s)+" has no unit", "such as "+s+"s; units are d, h, m, s, ms")
	}
	d, err := spanOf(s)
	if err != nil || s == "0" || strings.HasPrefix(s, "+") {
		return 0, bad(Quote(s)+" is not a time span", "such as 90s, 30m or 1h30m")
	}
	if d > longest || d < -longest {
		return 0, bad(Quote(s)+" is out of range", "the most is ten years")
	}
	return d, nil
}

// spanOf does the same as time.ParseDuration, and also accepts whole days at the beginning: 2d, 1d12h.
func spanOf(s string) (time.Duration, error) {
	abs, minus := strings.CutPrefix(s, "-")
	first, rest, found := strings.Cut(abs, "d")
	days, ok := decimal(first)
	if !found || !ok || days > 3650 || rest != "" && strings.IndexByte("+-", rest[0]) >= 0 {
		return time.ParseDuration(s)
	}
	d, err := time.ParseDuration("0s" + rest)
	if d += time.Duration(days) * 24 * time.Hour; minus {
		d = -d
	}
	return d, err
}

// FormatDuration returns a time span as a profile may write it: 30m, 1h30m, 200ms.
func FormatDuration(d time.Duration) string { return formatDuration(d) }

// formatDuration returns a duration in the form of Duration.String, without the parts that are zero: 30m, not 30m0s.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// parsePerm reads octal permission bits.
func parsePerm(s string) (uint32, *fault) {
	n, err := strconv.ParseUint(s, 8, 32)
	if err != nil || len(s) < 3 || len(s) > 5 || strings.ContainsAny(s, "+-_") || n > 0o7777 {
		return 0, bad(Quote(s)+" is not an octal mode", `such as "0755" or "1777"`)
	}
	return uint32(n), nil
}

// FormatPerm writes a file mode as the language does: octal, at least four digits, such as "0755".
func FormatPerm(n uint32) string {
	s := strconv.FormatUint(uint64(n), 8)
	for len(s) < 4 {
		s = "0" + s
	}
	return s
}

// maxID is the largest id. The next number, which is -1 as an int, means "no id" to the kernel.
const maxID = math.MaxUint32 - 1

func parseID(s string) (uint32, *fault) {
	n, f := parseInt(s, 0, maxID)
	if f != nil && f.hint != "" && !strings.HasPrefix(f.hint, "the range") {
		f = bad(Quote(s)+" is not an id", "a number, or keep")
	}
	return uint32(n), f
}
