package cgroup

import (
	"os"
	"strconv"
	"strings"
)

// Limits holds the requested limits. A field that is nil, 0 or "" requests no limit.
type Limits struct {
	Memory     *int64 // bytes
	MemoryHigh *int64 // bytes
	Swap       *int64 // bytes; if nil while Memory is set, the sandbox gets no swap
	OOMGroup   bool
	CPUs       float64 // cores
	CPUWeight  int64   // 1 to 10000
	CPUSet     string  // "0-3,6"
	PIDs       int64
	IO         []IOMax
	IOWeight   int64 // 1 to 10000
	Hugetlb    []Hugetlb
	CPUTime    bool // processor time must be counted, because a limit needs it
	Devices    bool // Group.Guard is to deny devices
}

// IOMax limits the operations on a block device per second; 0 means no limit.
type IOMax struct {
	Name         string // the name in reports
	Major, Minor uint32
	Values       [4]int64 // rbps, wbps, riops, wiops: bytes and operations read and written per second
}

// Hugetlb limits huge pages of one size. Both fields are in bytes.
type Hugetlb struct{ PageSize, Max int64 }

// A setting is a limit as the text of one file of one cgroup tree.
type setting struct {
	limit      string // the limit's key in the profile
	controller string // the controller's name in v2
	file       string
	value      string // the text to write
	back       string // the text that the kernel then shows; "" if it is value
	optional   bool   // if the kernel lacks the file, the limit does not count as missing
}

// unheld is a limit that v1 cannot enforce.
type unheld struct{ limit, why, remedy string }

const only2 = "cgroup v1 has nothing like it"

const boot2 = "boot with systemd.unified_cgroup_hierarchy=1, or cgroup_no_v1=all"

// period returns the quota and the period for cpu.max, in microseconds. For less than 0.01 cores it returns the longest
// period that the kernel allows, because the quota must be at least 1 ms.
func (l *Limits) period() (quota, period int64) {
	period = 100_000
	if l.CPUs < 0.01 {
		period = 1_000_000
	}
	return int64(l.CPUs*float64(period) + 0.5), period
}

// settings2 returns the limits as texts for the files of a v2 group: cgroup-v2.rst.
func (l *Limits) settings2() []setting {
	var s []setting
	add := func(limit, controller, file, value string) {
		s = append(s, setting{limit: limit, controller: controller, file: file, value: value})
	}
	pages := func(n int64) string { return itoa(n &^ (pageBytes() - 1)) }
	if l.Memory != nil {
		add("memory", "memory", "memory.max", itoa(*l.Memory))
		s[len(s)-1].back = pages(*l.Memory)
	}
	if l.MemoryHigh != nil {
		add("memory-high", "memory", "memory.high", itoa(*l.MemoryHigh))
		s[len(s)-1].back = pages(*l.MemoryHigh)
	}
	switch {
	case l.Swap != nil:
		add("swap", "memory", "memory.swap.max", itoa(*l.Swap))
		s[len(s)-1].back = pages(*l.Swap)
	case l.Memory != nil:
		add("memory", "memory", "memory.swap.max", "0")
		s[len(s)-1].optional = true // the kernel may lack swap accounting
	}
	if l.OOMGroup {
		add("oom-group", "memory", "memory.oom.group", "1")
	}
	if l.CPUs > 0 {
		quota, period := l.period()
		add("cpus", "cpu", "cpu.max", itoa(quota)+" "+itoa(period))
	}
	if l.CPUWeight > 0 {
		add("cpu-weight", "cpu", "cpu.weight", itoa(l.CPUWeight))
	}
	if l.CPUSet != "" {
		add("cpuset", "cpuset", "cpuset.cpus", l.CPUSet)
		s[len(s)-1].back = canonicalCPUs(l.CPUSet)
	}
	if l.PIDs > 0 {
		add("pids", "pids", "pids.max", itoa(l.PIDs))
	}
	for i := range l.IO {
		add("io "+l.IO[i].Name, "io", "io.max", l.IO[i].line2())
	}
	if l.IOWeight > 0 {
		add("io-weight", "io", "io.weight", itoa(l.IOWeight))
		s[len(s)-1].back = "default " + itoa(l.IOWeight)
	}
	for _, h := range l.Hugetlb {
		for _, kind := range [...]string{"", ".rsvd"} { // pages in use, and pages that mmap(2) has reserved: Linux 5.7
			add("hugetlb "+pageName(h.PageSize), "hugetlb", "hugetlb."+pageName(h.PageSize)+kind+".max", itoa(h.Max))
			s[len(s)-1].back, s[len(s)-1].optional = itoa(h.Max/h.PageSize*h.PageSize), kind != ""
		}
	}
	return s
}

// line2 returns the limit as a line of io.max, as the kernel prints it.
func (m *IOMax) line2() string {
	line := m.device()
	for i, key := range [...]string{"rbps", "wbps", "riops", "wiops"} {
		if m.Values[i] == 0 {
			line += " " + key + "=max"
		} else {
			line += " " + key + "=" + itoa(m.Values[i])
		}
	}
	return line
}

func (m *IOMax) device() string {
	return strconv.FormatUint(uint64(m.Major), 10) + ":" + strconv.FormatUint(uint64(m.Minor), 10)
}

// settings1 returns the limits as texts for the files of v1 groups, and the limits that v1 cannot enforce:
// cgroup-v1/*.rst.
func (l *Limits) settings1() (s []setting, lack []unheld) {
	add := func(limit, controller, file, value string) {
		s = append(s, setting{limit: limit, controller: controller, file: file, value: value})
	}
	pages := func(n int64) string { return itoa(n &^ (pageBytes() - 1)) }
	if l.Memory != nil {
		add("memory", "memory", "memory.limit_in_bytes", itoa(*l.Memory))
		s[len(s)-1].back = pages(*l.Memory)
	}
	switch { // after memory, because memory.memsw may not be smaller than memory
	case l.Swap != nil && l.Memory == nil:
		lack = append(lack, unheld{"swap", "cgroup v1 bounds memory and swap together", "set limits.memory (--memory) too"})
	case l.Swap != nil:
		add("swap", "memory", "memory.memsw.limit_in_bytes", itoa(*l.Memory+*l.Swap))
		s[len(s)-1].back = pages(*l.Memory + *l.Swap)
	case l.Memory != nil:
		add("memory", "memory", "memory.memsw.limit_in_bytes", itoa(*l.Memory))
		s[len(s)-1].back, s[len(s)-1].optional = pages(*l.Memory), true // the kernel may run with swapaccount=0
	}
	if l.MemoryHigh != nil {
		lack = append(lack, unheld{"memory-high", only2, boot2})
	}
	if l.OOMGroup {
		lack = append(lack, unheld{"oom-group", only2, boot2})
	}
	if l.CPUs > 0 {
		quota, period := l.period()
		add("cpus", "cpu", "cpu.cfs_period_us", itoa(period))
		add("cpus", "cpu", "cpu.cfs_quota_us", itoa(quota))
	}
	if l.CPUWeight > 0 { // a weight of 100 in v2 is 1024 shares in v1
		add("cpu-weight", "cpu", "cpu.shares", itoa(max(2, l.CPUWeight*1024/100)))
	}
	if l.CPUSet != "" {
		add("cpuset", "cpuset", "cpuset.cpus", l.CPUSet)
		s[len(s)-1].back = canonicalCPUs(l.CPUSet)
	}
	if l.PIDs > 0 {
		add("pids", "pids", "pids.max", itoa(l.PIDs))
	}
	for i := range l.IO {
		for j, op := range [...]string{"read_bps", "write_bps", "read_iops", "write_iops"} {
			if n := l.IO[i].Values[j]; n != 0 {
				add("io "+l.IO[i].Name, "io", "blkio.throttle."+op+"_device", l.IO[i].device()+" "+itoa(n))
			}
		}
	}
	if l.IOWeight > 0 {
		add("io-weight", "io", "blkio.bfq.weight", itoa(l.IOWeight))
	}
	for _, h := range l.Hugetlb {
		add("hugetlb "+pageName(h.PageSize), "hugetlb", "hugetlb."+pageName(h.PageSize)+".limit_in_bytes", itoa(h.Max))
		s[len(s)-1].back = itoa(h.Max / h.PageSize * h.PageSize)
	}
	return s, lack
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// pageBytes returns the size of a page: 4 KiB, and on some arm64 machines 16 or 64 KiB. The kernel rounds limits of
// memory down to pages.
func pageBytes() int64 { return int64(os.Getpagesize()) }

// pageName returns a size of huge pages as the kernel's files name it: 64KB, 2MB, 1GB.
func pageName(size int64) string {
	switch {
	case size >= 1<<30:
		return itoa(size>>30) + "GB"
	case size >= 1<<20:
		return itoa(size>>20) + "MB"
	}
	return itoa(size>>10) + "KB"
}

// canonicalCPUs returns a list of processors in the form that the kernel prints: sorted, and with neighbours joined
// into ranges.
func canonicalCPUs(list string) string {
	var on []bool
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		from, _ := strconv.Atoi(first)
		to := from
		if isRange {
			to, _ = strconv.Atoi(last)
		}
		if to >= len(on) {
			on = append(on, make([]bool, to+1-len(on))...)
		}
		for i := from; i <= to; i++ {
			on[i] = true
		}
	}
	var parts []string
	for i := 0; i < len(on); i++ {
		if !on[i] {
			continue
		}
		end := i
		for end+1 < len(on) && on[end+1] {
			end++
		}
		if end == i {
			parts = append(parts, strconv.Itoa(i))
		} else {
			parts = append(parts, strconv.Itoa(i)+"-"+strconv.Itoa(end))
		}
		i = end
	}
	return strings.Join(parts, ",")
}

// holds reports whether one of the lines in a file's text contains this setting.
func (s *setting) holds(text string) bool {
	want := s.back
	if want == "" {
		want = s.value
	}
	for line := range strings.Lines(text) { // compare words, because kernels differ in tabs and spaces
		if strings.Join(strings.Fields(line), " ") == want {
			return true
		}
	}
	return false
}
