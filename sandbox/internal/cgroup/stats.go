package cgroup

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Stats holds the kernel's counters. A counter that this kernel or layout lacks is nil, not 0.
type Stats struct {
	Memory *Memory `json:"memory,omitempty"`
	CPU    *CPU    `json:"cpu,omitempty"`
	PIDs   *PIDs   `json:"pids,omitempty"`
	IO     *IO     `json:"io,omitempty"`
}

// Memory holds sizes in bytes, and numbers of events.
type Memory struct {
	Current     *uint64   `json:"current,omitempty"`
	Peak        *uint64   `json:"peak,omitempty"` // v2: Linux 5.19
	SwapCurrent *uint64   `json:"swap_current,omitempty"`
	SwapPeak    *uint64   `json:"swap_peak,omitempty"`   // v2: Linux 6.5
	MaxEvents   *uint64   `json:"max_events,omitempty"`  // how often the limit was reached
	HighEvents  *uint64   `json:"high_events,omitempty"` // v2: how often memory-high was passed
	OOMs        *uint64   `json:"ooms,omitempty"`        // v2: how often reclaim did not help at the limit
	OOMKills    *uint64   `json:"oom_kills,omitempty"`   // how many processes the kernel killed because of that; without init
	Pressure    *Pressure `json:"pressure,omitempty"`
}

// CPU holds the processor time used, and how long a limit has throttled processes.
type CPU struct {
	Usage            *time.Duration `json:"usage_ns,omitempty"`
	User             *time.Duration `json:"user_ns,omitempty"`
	System           *time.Duration `json:"system_ns,omitempty"`
	Throttled        *time.Duration `json:"throttled_ns,omitempty"`
	ThrottledPeriods *uint64        `json:"throttled_periods,omitempty"`
	Pressure         *Pressure      `json:"pressure,omitempty"`
}

// PIDs counts processes and threads, without the sandbox's init, as the limit does.
type PIDs struct {
	Current   *uint64 `json:"current,omitempty"`
	Peak      *uint64 `json:"peak,omitempty"`       // Linux 6.1
	MaxEvents *uint64 `json:"max_events,omitempty"` // how many forks the limit has refused
}

// IO holds sums over all block devices.
type IO struct {
	ReadBytes  *uint64   `json:"read_bytes,omitempty"`
	WriteBytes *uint64   `json:"write_bytes,omitempty"`
	Reads      *uint64   `json:"reads,omitempty"`
	Writes     *uint64   `json:"writes,omitempty"`
	Pressure   *Pressure `json:"pressure,omitempty"`
}

// Pressure is the time for which some tasks, or all tasks, have waited for a resource
// (Documentation/accounting/psi.rst; v2, Linux 4.20, if PSI is enabled).
type Pressure struct {
	Some *time.Duration `json:"some_ns,omitempty"`
	Full *time.Duration `json:"full_ns,omitempty"`
}

// Stats reads the counters. It returns an error if none of the groups exists any more.
func (p *Place) Stats() (*Stats, error) { return p.read(true) }

// Totals does what Stats does, but leaves out the current use. It is for a sandbox that has ended.
func (p *Place) Totals() (*Stats, error) { return p.read(false) }

func (p *Place) read(now bool) (*Stats, error) {
	s, found := &Stats{}, false
	for i := range p.Dirs {
		fd, err := openDir(p.Dirs[i].Path)
		if err != nil {
			continue
		}
		found = true
		g := counters{fd, now}
		if p.Dirs[i].Version == 2 {
			s.add2(g)
		} else {
			for _, c := range p.Dirs[i].Controllers {
				s.add1(g, c)
			}
		}
		unix.Close(fd)
	}
	if !found {
		return nil, errors.New("statistics: the sandbox's groups are gone")
	}
	return s, nil
}

// Events returns the counters that show whether a limit was reached: how many processes were killed for lack of memory,
// and how many forks were refused. It reads no other file.
func (p *Place) Events() (kills, refused *uint64) {
	if d := p.dir("memory"); d != nil {
		text, _ := readAt(unix.AT_FDCWD, d.Path+"/"+d.MemoryEvents()) // if it cannot be read, kills stays nil
		kills = Count(text, KeyKills)
	}
	if d := p.dir("pids"); d != nil {
		text, _ := readAt(unix.AT_FDCWD, d.Path+"/pids.events")
		refused = Count(text, KeyRefused)
	}
	return kills, refused
}

// Limits does what Totals does, for callers that only ask which limits were reached. If Events shows that no limit was
// reached, it reads nothing else.
func (p *Place) Limits() (*Stats, error) {
	kills, refused := p.Events()
	for _, n := range [...]*uint64{kills, refused} {
		if n != nil && *n > 0 {
			return p.Totals()
		}
	}
	return &Stats{Memory: &Memory{OOMKills: kills}, PIDs: &PIDs{MaxEvents: refused}}, nil
}

// MemoryEvents returns the name of the file that counts processes killed for lack of memory.
func (d *Dir) MemoryEvents() string {
	if d.Version == 1 {
		return "memory.oom_control"
	}
	return "memory.events"
}

// These are keys in the kernel's files of events, for Count.
const (
	KeyKills   = "oom_kill" // in Dir.MemoryEvents: processes that were killed
	KeyRefused = "max"      // in pids.events: forks that were refused
)

// Count returns the number for a key in a text with lines "key number", or nil if the key is missing.
func Count(text, key string) *uint64 {
	for line := range strings.Lines(text) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), " "); name == key {
			return parse(value)
		}
	}
	return nil
}

func parse(text string) *uint64 {
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return nil
	}
	return &n
}

// counters reads the files of a group.
type counters struct {
	fd  int
	now bool // also read the current use
}

// text returns the text of a file, or "" if the file does not exist.
func (g counters) text(file string) string {
	text, _ := readAt(g.fd, file) // for the pressure files the error is EOPNOTSUPP if PSI is off
	return text
}

// number returns the number in a file, or nil if the file does not exist or says "max".
func (g counters) number(file string) *uint64 { return parse(g.text(file)) }

// current does what number does, for a file that holds the current use. If the caller has not asked for the current
// use, it returns nil.
func (g counters) current(file string) *uint64 {
	if !g.now {
		return nil
	}
	return g.number(file)
}

// add2 adds the counters of a v2 group. A controller that is not enabled in the group has no files.
func (s *Stats) add2(g counters) {
	if events := g.text("memory.events"); events != "" {
		s.Memory = &Memory{
			Current: g.current("memory.current"), Peak: g.number("memory.peak"),
			SwapCurrent: g.current("memory.swap.current"), SwapPeak: g.number("memory.swap.peak"),
			MaxEvents: Count(events, "max"), HighEvents: Count(events, "high"), OOMs: Count(events, "oom"), OOMKills: Count(events, KeyKills),
			Pressure: g.pressure("memory.pressure"),
		}
	}
	if s.Memory != nil && s.Memory.OOMKills != nil && *s.Memory.OOMKills > 1 && g.text("memory.oom.group") == "1\n" {
		s.Memory.OOMKills = minus(s.Memory.OOMKills, &one) // the kernel killed init with the others
	}
	if stat := g.text("cpu.stat"); stat != "" { // every v2 group has it; it has throttling only if cpu is on
		s.CPU = &CPU{
			Usage: times(Count(stat, "usage_usec"), time.Microsecond), User: times(Count(stat, "user_usec"), time.Microsecond),
			System: times(Count(stat, "system_usec"), time.Microsecond), Throttled: times(Count(stat, "throttled_usec"), time.Microsecond),
			ThrottledPeriods: Count(stat, "nr_throttled"), Pressure: g.pressure("cpu.pressure"),
		}
	}
	if events := g.text("pids.events"); events != "" {
		s.PIDs = &PIDs{Current: minus(g.current("pids.current"), &one), Peak: minus(g.number("pids.peak"), &one), MaxEvents: Count(events, KeyRefused)}
	}
	s.io2(g)
}

// io2 adds up the lines of io.stat. The file has a line for each device that was used: "8:0 rbytes=1 wbytes=2 rios=3
// wios=4 dbytes=5 dios=6".
func (s *Stats) io2(g counters) {
	text, err := readAt(g.fd, "io.stat")
	if err != nil {
		return
	}
	var sum [4]uint64
	for _, field := range strings.Fields(text) {
		key, value, _ := strings.Cut(field, "=")
		n, err := strconv.ParseUint(value, 10, 64)
		for i, k := range [...]string{"rbytes", "wbytes", "rios", "wios"} {
			if k == key && err == nil {
				sum[i] += n
			}
		}
	}
	s.IO = &IO{ReadBytes: &sum[0], WriteBytes: &sum[1], Reads: &sum[2], Writes: &sum[3], Pressure: g.pressure("io.pressure")}
}

// add1 adds the counters of one v1 controller.
func (s *Stats) add1(g counters, controller string) {
	switch controller {
	case "memory":
		current := g.current("memory.usage_in_bytes")
		s.Memory = &Memory{
			Current: current, Peak: g.number("memory.max_usage_in_bytes"), SwapCurrent: minus(g.current("memory.memsw.usage_in_bytes"), current),
			MaxEvents: g.number("memory.failcnt"), OOMKills: Count(g.text("memory.oom_control"), KeyKills),
		}
	case "pids":
		s.PIDs = &PIDs{Current: minus(g.current("pids.current"), &one), Peak: minus(g.number("pids.peak"), &one), MaxEvents: Count(g.text("pids.events"), KeyRefused)}
	case "cpu":
		stat := g.text("cpu.stat")
		s.cpu().Throttled, s.cpu().ThrottledPeriods = times(Count(stat, "throttled_time"), 1), Count(stat, "nr_throttled")
	case "cpuacct":
		s.cpu().Usage = times(g.number("cpuacct.usage"), 1)
		s.cpu().User, s.cpu().System = share(s.cpu().Usage, g.number("cpuacct.usage_user"), g.number("cpuacct.usage_sys"))
	case "blkio":
		s.io1(g)
	}
}

// share divides the time that a v1 group has used into user and system time, in the ratio of the counted user and
// system times. The used time is exact, but the kernel counts user and system time in ticks, so their sum may differ
// from the used time. For v2 and /proc/PID/stat the kernel itself does the same as share. If a number is missing, share
// returns the counted times.
func share(usage *time.Duration, user, system *uint64) (u, s *time.Duration) {
	if usage == nil || user == nil || system == nil || *user+*system == 0 {
		return times(user, 1), times(system, 1)
	}
	part := time.Duration(float64(*usage) * (float64(*user) / float64(*user+*system)))
	rest := *usage - part
	return &part, &rest
}

func (s *Stats) cpu() *CPU {
	if s.CPU == nil {
		s.CPU = &CPU{}
	}
	return s.CPU
}

// io1 adds up the counters of the throttling layer. Its files have a line for each device and operation: "8:0 Read
// 4096". If the kernel does not have these files, s.IO stays nil.
func (s *Stats) io1(g counters) {
	bytes := g.text("blkio.throttle.io_service_bytes")
	if bytes == "" {
		return
	}
	s.IO = &IO{ReadBytes: operations(bytes, "Read"), WriteBytes: operations(bytes, "Write")}
	if count := g.text("blkio.throttle.io_serviced"); count != "" {
		s.IO.Reads, s.IO.Writes = operations(count, "Read"), operations(count, "Write")
	}
}

func operations(text, op string) *uint64 {
	var sum uint64
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 3 && f[1] == op {
			n, _ := strconv.ParseUint(f[2], 10, 64)
			sum += n
		}
	}
	return &sum
}

// pressure reads the totals of a PSI file: "some avg10=0.00 avg60=0.00 avg300=0.00 total=12", in microseconds.
func (g counters) pressure(file string) *Pressure {
	text := g.text(file)
	if text == "" {
		return nil
	}
	p := &Pressure{}
	for line := range strings.Lines(text) {
		_, total, found := strings.Cut(strings.TrimSpace(line), "total=")
		n, err := strconv.ParseUint(total, 10, 64)
		switch {
		case !found || err != nil:
		case strings.HasPrefix(line, "some"):
			p.Some = times(&n, time.Microsecond)
		case strings.HasPrefix(line, "full"):
			p.Full = times(&n, time.Microsecond)
		}
	}
	return p
}

func times(n *uint64, unit time.Duration) *time.Duration {
	if n == nil {
		return nil
	}
	d := time.Duration(*n) * unit
	return &d
}

// one is the number of init processes in a sandbox.
var one uint64 = 1

// minus returns a - b, or 0 if b is larger. It returns nil if a or b is nil.
func minus(a, b *uint64) *uint64 {
	if a == nil || b == nil {
		return nil
	}
	n := *a - min(*a, *b)
	return &n
}
