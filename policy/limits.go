package policy

import (
	"slices"
	"strconv"
	"time"
)

// rlimitNames are the resources of getrlimit(2), sorted; their numbers differ between architectures.
var rlimitNames = [...]string{
	"as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio",
	"rttime", "sigpending", "stack",
}

func checkRlimitName(s string) *fault {
	if slices.Contains(rlimitNames[:], s) {
		return nil
	}
	return bad(quote(s)+" is not an rlimit", didYouMean(s, rlimitNames[:]))
}

// rlimitIn says what an rlimit is counted in: bytes, seconds or microseconds by the clock, else plain numbers.
func rlimitIn(name string) (bytes bool, clock time.Duration) {
	switch name {
	case "as", "core", "data", "fsize", "memlock", "msgqueue", "rss", "stack":
		return true, 0
	case "cpu":
		return false, time.Second
	case "rttime":
		return false, time.Microsecond
	}
	return false, 0
}

func parseRlimit(name, s string) (uint64, *fault) {
	if s == "unlimited" {
		return Unlimited, nil
	}
	bytes, clock := rlimitIn(name)
	if bytes {
		n, f := parseSize(s)
		return uint64(n), f
	}
	n, ok := decimal(s)
	if ok {
		return uint64(n), nil
	}
	if clock == 0 {
		return 0, bad(quote(s)+" is not a number", "a number, or unlimited")
	}
	d, f := parseDuration(s)
	if f == nil && d%clock != 0 {
		f = bad(quote(s)+" is not a whole number of "+clock.String()[1:], "")
	}
	return uint64(d / clock), f
}

func formatRlimit(r Rlimit) string {
	if r.Value == Unlimited {
		return "unlimited"
	}
	if bytes, _ := rlimitIn(r.Name); bytes {
		return FormatSize(int64(r.Value))
	}
	return strconv.FormatUint(r.Value, 10)
}

// setRlimit replaces or inserts, keeping the list sorted by name.
func setRlimit(list []Rlimit, r Rlimit) []Rlimit {
	i, found := slices.BinarySearchFunc(list, r.Name, func(x Rlimit, name string) int { return compare(x.Name, name) })
	if found {
		list[i] = r
		return list
	}
	return slices.Insert(list, i, r)
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
