package diff

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"cordon/policy"
)

// scalars compares all other keys of the table, so that no key is forgotten.
func (d *differ) scalars() {
	for k := range policy.Scalars {
		if slices.Contains([]string{"version", "name", "about", "syscalls.default", "syscalls.unknown"}, k.Path) || k.Path == "root" {
			continue
		}
		if _, ok := k.At(d.a).(*policy.Namespace); ok {
			continue
		}
		from, to := scalarText(k, d.a), scalarText(k, d.b)
		if from == to {
			continue
		}
		x, y := weigh(k, d.a), weigh(k, d.b)
		if k.Path == "limits.cgroup" { // limits of cgroups above are not known here
			d.order(k.Path, from, to, 0, 1)
			d.order(k.Path, from, to, 1, 0)
			continue
		}
		d.order(k.Path, from, to, x, y)
	}
}

// scalarText returns the value. If the profile sets none, it returns the default.
func scalarText(k policy.Scalar, p *policy.Profile) string {
	if t, ok := k.At(p).(*policy.TimeNamespace); ok {
		return timeText(t)
	}
	return k.Text(p)
}

func timeText(t *policy.TimeNamespace) string {
	switch {
	case t.Path != "":
		return t.Path
	case t.New:
		return "new" + prefixOffset(" monotonic ", t.Monotonic) + prefixOffset(" boottime ", t.Boottime)
	}
	return "host"
}

func prefixOffset(what string, d time.Duration) string {
	if d == 0 {
		return ""
	}
	return what + d.String()
}

// weigh returns the rank of a key's value: how much it gives. It returns 0 for every value of a key that has no order.
func weigh(k policy.Scalar, p *policy.Profile) int {
	switch k.Path {
	case "tty":
		return slices.Index([]policy.TTY{policy.TTYNone, policy.TTYBroker, policy.TTYInherit}, p.TTY)
	case "git":
		return slices.Index([]policy.Git{policy.GitProtect, policy.GitFree}, p.Git)
	case "cache.mode":
		mode, _ := p.CacheMode()
		return slices.Index([]policy.CacheMode{policy.CacheOff, policy.CacheProject, policy.CacheOverlay}, mode)
	case "syscalls.exec":
		return slices.Index([]policy.Exec{policy.ExecOnce, policy.ExecAny}, p.Syscalls.Exec)
	case "user.host":
		return slices.Index([]policy.HostUser{policy.HostAuto, policy.HostCaller}, p.User.Host)
	case "nest":
		return rank(p.Nest)
	case "user.ranges":
		return rank(p.User.Ranges)
	case "user.uid":
		return isRoot(p.User.UID)
	case "user.gid":
		return isRoot(p.User.GID)
	case "process.nice":
		return -p.Process.Nice.V
	case "process.oom-score-adj":
		return -p.Process.OOMScoreAdj.V
	case "process.umask":
		return -int(p.Process.Umask.V)
	case "limits.cpu-weight":
		return weightOf(p.Limits.CPUWeight)
	case "limits.io-weight":
		return weightOf(p.Limits.IOWeight)
	case "limits.cpuset":
		return processors(p.Limits.CPUSet)
	case "limits.oom-group", "limits.cgroup":
		return 0
	}
	if !strings.HasPrefix(k.Path, "limits.") {
		return 0
	}
	switch v := k.At(p).(type) {
	case *policy.Opt[int64]:
		if v.Set {
			return int(v.V)
		}
	case *policy.Opt[float64]:
		if v.Set {
			return int(min(v.V, 1e9) * 1e6)
		}
	case *policy.Opt[time.Duration]:
		if v.Set {
			return int(v.V)
		}
	default:
		return 0
	}
	return unlimited
}

const unlimited = 1<<63 - 1

// rank is 1 for true: what the key switches on gives more.
func rank(b bool) int {
	if b {
		return 1
	}
	return 0
}

func isRoot(id policy.Opt[uint32]) int {
	if id.Set && id.V == 0 {
		return 1
	}
	return 0
}

// weightOf returns a share against other cgroups. If the profile sets none, it is the kernel's default, 100.
func weightOf(w policy.Opt[int64]) int {
	if w.Set {
		return int(w.V)
	}
	return 100
}

// processors counts the processors of a list.
func processors(list string) (n int) {
	if list == "" {
		return unlimited
	}
	for part := range strings.SplitSeq(list, ",") {
		first, last, _ := strings.Cut(part, "-")
		from, _ := strconv.Atoi(first)
		to, err := strconv.Atoi(last)
		if err != nil {
			to = from
		}
		n += to - from + 1
	}
	return n
}

func (d *differ) rlimits() {
	value := func(p *policy.Profile, name string) (uint64, string, policy.Pos) {
		for _, r := range p.Limits.Rlimits {
			if r.Name == name {
				return r.Value, r.Text(), r.Pos
			}
		}
		return policy.Unlimited, "not set", policy.Pos{}
	}
	for _, name := range policy.RlimitNames() {
		x, from, old := value(d.a, name)
		y, to, now := value(d.b, name)
		d.limit(Change{Section: "limits.rlimits", What: name, From: from, To: to, Old: old, New: now}, x, y)
	}
}

// limit adds a change if x and y, the two values of a limit, differ.
func (d *differ) limit(c Change, x, y uint64) {
	switch {
	case x < y:
		c.Effect = Widens
	case x > y:
		c.Effect = Narrows
	case c.From != c.To:
		c.Effect = Alters
	default:
		return
	}
	d.add(c)
}

// ioMax compares what the profiles allow to be read and written on each device. 0 means no limit.
func (d *differ) ioMax() {
	of := func(p *policy.Profile, path string) policy.IOMax {
		i := slices.IndexFunc(p.Limits.IO, func(m policy.IOMax) bool { return m.Path == path })
		if i < 0 {
			return policy.IOMax{}
		}
		return p.Limits.IO[i]
	}
	var paths []string
	for _, m := range append(slices.Clone(d.a.Limits.IO), d.b.Limits.IO...) {
		paths = append(paths, m.Path)
	}
	slices.Sort(paths)
	for _, path := range slices.Compact(paths) {
		a, b := of(d.a, path), of(d.b, path)
		for _, bound := range ioBounds {
			x, y := uint64(bound.of(&a)-1), uint64(bound.of(&b)-1) // 0 (no limit) becomes the largest number
			from, to := ioText(x), ioText(y)
			d.limit(Change{Section: "limits.io", What: path + " " + bound.name, From: from, To: to, Old: a.Pos, New: b.Pos}, x, y)
		}
	}
}

var ioBounds = [...]struct {
	name string
	of   func(*policy.IOMax) int64
}{
	{"rbps", func(m *policy.IOMax) int64 { return m.ReadBytes }},
	{"wbps", func(m *policy.IOMax) int64 { return m.WriteBytes }},
	{"riops", func(m *policy.IOMax) int64 { return m.Reads }},
	{"wiops", func(m *policy.IOMax) int64 { return m.Writes }},
}

func ioText(less uint64) string {
	if less == policy.Unlimited {
		return "not set"
	}
	return policy.FormatSize(int64(less) + 1)
}

func (d *differ) hugetlb() {
	of := func(p *policy.Profile, size int64) (uint64, string, policy.Pos) {
		for _, h := range p.Limits.Hugetlb {
			if h.PageSize == size {
				return uint64(h.Max), policy.FormatSize(h.Max), h.Pos
			}
		}
		return policy.Unlimited, "not set", policy.Pos{}
	}
	var sizes []int64
	for _, h := range append(slices.Clone(d.a.Limits.Hugetlb), d.b.Limits.Hugetlb...) {
		sizes = append(sizes, h.PageSize)
	}
	slices.Sort(sizes)
	for _, size := range slices.Compact(sizes) {
		x, from, old := of(d.a, size)
		y, to, now := of(d.b, size)
		d.limit(Change{Section: "limits.hugetlb", What: policy.FormatSize(size), From: from, To: to, Old: old, New: now}, x, y)
	}
}
