package policy

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// rlimitNames lists the resources of getrlimit(2) by name, because their numbers differ between architectures.
var rlimitNames = [...]string{
	"as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio",
	"rttime", "sigpending", "stack",
}

func checkRlimitName(s string) *fault {
	if slices.Contains(rlimitNames[:], s) {
		return nil
	}
	return bad(Quote(s)+" is not an rlimit", didYouMean(s, rlimitNames[:]))
}

// checkRlimit refuses values that the kernel accepts but then takes for a different limit than their reader expects.
func checkRlimit(name string, n uint64) *fault {
	switch {
	case name == "rss" && n != Unlimited:
		return bad("Linux has no such limit since 2.4.30", "limits.memory, or rlimits: {as: …}")
	case name == "locks" && n != Unlimited:
		return bad("Linux has no such limit since 2.4.25", "deny flock and fcntl's locks by syscalls.rules")
	case name == "cpu" && n == 0:
		return bad("the kernel takes 0 for 1s", "at least 1s")
	}
	return nil
}

// rlimitIn returns the unit of an rlimit: bytes is true for bytes, clock is a second or a microsecond for times. For a
// plain number both are zero.
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
	n, f := rlimitOf(name, s)
	if f == nil {
		f = checkRlimit(name, n)
	}
	return n, f
}

func rlimitOf(name, s string) (uint64, *fault) {
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
		return 0, bad(Quote(s)+" is not a number", "a number, or unlimited")
	}
	d, f := parseDuration(s)
	if f == nil && d%clock != 0 {
		f = bad(Quote(s)+" is not a whole number of "+clock.String()[1:], "")
	}
	return uint64(d / clock), f
}

// Text returns the value as a profile contains it.
func (r Rlimit) Text() string { return formatRlimit(r) }

func formatRlimit(r Rlimit) string {
	if r.Value == Unlimited {
		return "unlimited"
	}
	if bytes, _ := rlimitIn(r.Name); bytes {
		return FormatSize(int64(r.Value))
	}
	return strconv.FormatUint(r.Value, 10)
}

// setSorted replaces the item that has the same key as x, or inserts x. The list stays sorted by key.
func setSorted[T any, K cmp.Ordered](list []T, x T, key func(*T) K) []T {
	i, found := slices.BinarySearchFunc(list, key(&x), func(y T, k K) int { return cmp.Compare(key(&y), k) })
	if found {
		list[i] = x
		return list
	}
	return slices.Insert(list, i, x)
}

// mergeIO adds the limits of a disk to those that the list has for the same path. If both set the same limit, the one
// in m replaces the other.
func mergeIO(list []IOMax, m IOMax) []IOMax {
	if i, found := slices.BinarySearchFunc(list, m.Path, func(x IOMax, path string) int { return cmp.Compare(x.Path, path) }); found {
		for j, n := range list[i].fields() {
			if *m.fields()[j] == 0 {
				*m.fields()[j] = *n
			}
		}
	}
	return setSorted(list, m, ioMaxKey)
}

func rlimitKey(r *Rlimit) string  { return r.Name }
func hugetlbKey(h *Hugetlb) int64 { return h.PageSize }
func ioMaxKey(m *IOMax) string    { return m.Path }

// minMemory is one page, because the kernel rounds memory limits down to whole pages.
const minMemory = 4096

// checkCPUSet accepts a list of processors as the kernel spells it: numbers and ranges, separated by commas.
func checkCPUSet(s string) *fault {
	const most = 8191 // CONFIG_NR_CPUS is 8192 at most
	for part := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(part, "-")
		from, ok := decimal(first)
		to := from
		if isRange && ok {
			to, ok = decimal(last)
		}
		switch {
		case !ok:
			return bad(Quote(s)+" is not a list of processors", `numbers and ranges, such as "0-3,6"`)
		case from > to:
			return bad(Quote(part)+" is backwards", "")
		case to > most:
			return bad(strconv.FormatInt(to, 10)+" is out of range", "processors have numbers from 0 to "+strconv.Itoa(most))
		}
	}
	return nil
}

// checkCgroup accepts every value that Limits.Cgroup may have.
func checkCgroup(s string) *fault {
	name, slice := strings.CutSuffix(s, ".slice")
	switch {
	case s == CgroupAuto || s == CgroupSystemd:
		return nil
	case slice && name != "" && !strings.Contains(name, "/"):
		return checkSlice(s, name)
	case !strings.HasPrefix(s, "/"):
		hint := didYouMean(s, []string{CgroupAuto, CgroupSystemd})
		if hint == "" {
			hint = "it is auto, systemd, a slice such as ci.slice, or a path such as /ci"
		}
		return bad(Quote(s)+" is not a cgroup", hint)
	}
	return checkPath(s)
}

// checkSlice accepts the name of a slice. Dashes in the name separate levels: systemd.slice(5).
func checkSlice(s, name string) *fault {
	ok := len(s) <= 255 && !strings.Contains("-"+name+"-", "--")
	for i := 0; ok && i < len(name); i++ {
		c := name[i]
		ok = 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_.:@\\", c) >= 0
	}
	if !ok {
		return bad(Quote(s)+" is not the name of a slice", "such as ci.slice or ci-jobs.slice")
	}
	return nil
}

// parsePageSize reads the size of a huge page: a power of two.
func parsePageSize(s string) (int64, *fault) {
	n, f := parseSize(s)
	if f == nil && (n < 4096 || n&(n-1) != 0) {
		return 0, bad(Quote(s)+" is not the size of a page", "such as 2MiB or 1GiB")
	}
	return n, f
}

var ioKeys = [...]string{"rbps", "wbps", "riops", "wiops"}

// fields returns pointers to the bounds, in the order of ioKeys.
func (m *IOMax) fields() [4]*int64 {
	return [...]*int64{&m.ReadBytes, &m.WriteBytes, &m.Reads, &m.Writes}
}

// parseIOMax parses limits in the form of cgroup v2's io.max, "rbps=10MiB wiops=200", with spaces or commas between
// them.
func parseIOMax(path, s string) (IOMax, *fault) {
	m := IOMax{Path: cleanPath(path)}
	parts := strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' })
	for _, part := range parts {
		key, value, _ := strings.Cut(part, "=")
		i := slices.Index(ioKeys[:], key)
		if i < 0 {
			hint := didYouMean(key, ioKeys[:])
			if hint == "" {
				hint = "it is rbps, wbps, riops or wiops, such as rbps=10MiB"
			}
			return m, bad(Quote(key)+" is not known here", hint)
		}
		n, f := parseSize(value)
		if i >= 2 { // riops and wiops have no unit
			n, f = parseInt(value, 1, 1<<31-1)
		}
		switch {
		case f != nil:
			return m, f
		case n == 0:
			return m, bad(part+" would stop everything", "at least 1")
		case *m.fields()[i] != 0:
			return m, bad(key+" is there twice", "")
		}
		*m.fields()[i] = n
	}
	if len(parts) == 0 {
		return m, bad("no limit", "such as rbps=10MiB")
	}
	return m, nil
}

// text returns the limits as text that parseIOMax can parse.
func (m *IOMax) text() string {
	var parts []string
	for i, n := range m.fields() {
		switch {
		case *n == 0:
		case i < 2:
			parts = append(parts, ioKeys[i]+"="+FormatSize(*n))
		default:
			parts = append(parts, ioKeys[i]+"="+strconv.FormatInt(*n, 10))
		}
	}
	return strings.Join(parts, " ")
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

// Init says what is pid 1 of the sandbox's pid namespace.
type Init string

// The values of Init.
const (
	InitOwn  Init = ""     // a process of the launcher, which reaps orphans
	InitNone Init = "none" // the program
)
