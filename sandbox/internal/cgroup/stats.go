package cgroup

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/cgroups"
)

// Stats is what the kernel has counted. What this kernel, or this layout, does not count is nil, never 0.
type Stats struct {
	Memory *Memory `json:"memory,omitempty"`
	CPU    *CPU    `json:"cpu,omitempty"`
	PIDs   *PIDs   `json:"pids,omitempty"`
	IO     *IO     `json:"io,omitempty"`
}

// Memory is in bytes.
type Memory struct {
	Current     *uint64   `json:"current,omitempty"`
	Peak        *uint64   `json:"peak,omitempty"` // v2: Linux 5.19
	SwapCurrent *uint64   `json:"swap_current,omitempty"`
	SwapPeak    *uint64   `json:"swap_peak,omitempty"`   // v2: Linux 6.5
	MaxEvents   *uint64   `json:"max_events,omitempty"`  // how often the limit was reached
	HighEvents  *uint64   `json:"high_events,omitempty"` // v2: how often memory-high was passed
	OOMs        *uint64   `json:"ooms,omitempty"`        // v2: how often reclaim did not help at the limit
	OOMKills    *uint64   `json:"oom_kills,omitempty"`   // processes that were killed for it
	Pressure    *Pressure `json:"pressure,omitempty"`
}

// CPU is time, and how much of it a limit has held back.
type CPU struct {
	Usage            *time.Duration `json:"usage_ns,omitempty"`
	User             *time.Duration `json:"user_ns,omitempty"`
	System           *time.Duration `json:"system_ns,omitempty"`
	Throttled        *time.Duration `json:"throttled_ns,omitempty"`
	ThrottledPeriods *uint64        `json:"throttled_periods,omitempty"`
	Pressure         *Pressure      `json:"pressure,omitempty"`
}

// PIDs counts processes and threads.
type PIDs struct {
	Current   *uint64 `json:"current,omitempty"`
	Peak      *uint64 `json:"peak,omitempty"`       // Linux 6.1
	MaxEvents *uint64 `json:"max_events,omitempty"` // how many forks the limit has refused
}

// IO is what went to block devices, over all of them.
type IO struct {
	ReadBytes  *uint64   `json:"read_bytes,omitempty"`
	WriteBytes *uint64   `json:"write_bytes,omitempty"`
	Reads      *uint64   `json:"reads,omitempty"`
	Writes     *uint64   `json:"writes,omitempty"`
	Pressure   *Pressure `json:"pressure,omitempty"`
}

// Pressure is how long some, or all, of the tasks were stalled for a resource (Documentation/accounting/psi.rst; v2, Linux
// 4.20, and only where the kernel has PSI on).
type Pressure struct {
	Some *time.Duration `json:"some_ns,omitempty"`
	Full *time.Duration `json:"full_ns,omitempty"`
}

// Stats reads the counters. Groups that are gone have none, which is an error.
func (p *Place) Stats() (*Stats, error) {
	if !p.Exists() {
		return nil, errors.New("statistics: the sandbox's groups are gone")
	}
	s := &Stats{}
	for i := range p.Dirs {
		d := &p.Dirs[i]
		if d.Version == 2 {
			s.add2(d.Path)
			continue
		}
		for _, c := range d.Controllers {
			s.add1(d.Path, c)
		}
	}
	return s, nil
}

// Events are those of the counters that tell of a limit that was reached: how many processes were killed for memory, and
// how many forks were refused. It reads no other file.
func (p *Place) Events() (kills, refused *uint64) {
	if d := p.dir("memory"); d != nil {
		file := "memory.events"
		if d.Version == 1 {
			file = "memory.oom_control"
		}
		kills = keyed(d.Path, file)["oom_kill"]
	}
	if d := p.dir("pids"); d != nil {
		refused = keyed(d.Path, "pids.events")["max"]
	}
	return kills, refused
}

// add2 reads a v2 group. A controller that is not on there has no files.
func (s *Stats) add2(dir string) {
	if cur := number(dir, "memory.current"); cur != nil {
		events := keyed(dir, "memory.events")
		s.Memory = &Memory{
			Current: cur, Peak: number(dir, "memory.peak"),
			SwapCurrent: number(dir, "memory.swap.current"), SwapPeak: number(dir, "memory.swap.peak"),
			MaxEvents: events["max"], HighEvents: events["high"], OOMs: events["oom"], OOMKills: events["oom_kill"],
			Pressure: pressure(dir, "memory.pressure"),
		}
	}
	if stat := keyed(dir, "cpu.stat"); stat != nil { // every v2 group has it, but throttling only with the controller
		s.CPU = &CPU{
			Usage: times(stat["usage_usec"], time.Microsecond), User: times(stat["user_usec"], time.Microsecond),
			System: times(stat["system_usec"], time.Microsecond), Throttled: times(stat["throttled_usec"], time.Microsecond),
			ThrottledPeriods: stat["nr_throttled"], Pressure: pressure(dir, "cpu.pressure"),
		}
	}
	if cur := number(dir, "pids.current"); cur != nil {
		s.PIDs = &PIDs{Current: cur, Peak: number(dir, "pids.peak"), MaxEvents: keyed(dir, "pids.events")["max"]}
	}
	s.io2(dir)
}

// io2 sums io.stat up: "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6", a line for each device that was used.
func (s *Stats) io2(dir string) {
	text, err := cgroups.ReadFile(dir, "io.stat")
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
	s.IO = &IO{ReadBytes: &sum[0], WriteBytes: &sum[1], Reads: &sum[2], Writes: &sum[3], Pressure: pressure(dir, "io.pressure")}
}

// add1 reads what one v1 controller counts.
func (s *Stats) add1(dir, controller string) {
	switch controller {
	case "memory":
		current, both := number(dir, "memory.usage_in_bytes"), number(dir, "memory.memsw.usage_in_bytes")
		s.Memory = &Memory{
			Current: current, Peak: number(dir, "memory.max_usage_in_bytes"), SwapCurrent: minus(both, current),
			MaxEvents: number(dir, "memory.failcnt"), OOMKills: keyed(dir, "memory.oom_control")["oom_kill"],
		}
	case "pids":
		s.PIDs = &PIDs{Current: number(dir, "pids.current"), Peak: number(dir, "pids.peak"), MaxEvents: keyed(dir, "pids.events")["max"]}
	case "cpu":
		stat := keyed(dir, "cpu.stat")
		s.cpu().Throttled, s.cpu().ThrottledPeriods = times(stat["throttled_time"], 1), stat["nr_throttled"]
	case "cpuacct":
		s.cpu().Usage = times(number(dir, "cpuacct.usage"), 1)
		s.cpu().User, s.cpu().System = times(number(dir, "cpuacct.usage_user"), 1), times(number(dir, "cpuacct.usage_sys"), 1)
	case "blkio":
		s.io1(dir)
	}
}

func (s *Stats) cpu() *CPU {
	if s.CPU == nil {
		s.CPU = &CPU{}
	}
	return s.CPU
}

// io1 sums up what the throttling layer, which is always there, has seen: "8:0 Read 4096", a line for each operation.
func (s *Stats) io1(dir string) {
	bytes, err := cgroups.ReadFile(dir, "blkio.throttle.io_service_bytes")
	if err != nil {
		return
	}
	s.IO = &IO{ReadBytes: operations(bytes, "Read"), WriteBytes: operations(bytes, "Write")}
	if count, err := cgroups.ReadFile(dir, "blkio.throttle.io_serviced"); err == nil {
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

// number reads a file with one number; nil where it is not there or says "max".
func number(dir, file string) *uint64 {
	text, err := cgroups.ReadFile(dir, file)
	if err != nil {
		return nil
	}
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return nil
	}
	return &n
}

// keyed reads a file of lines "key number"; nil where it is not there.
func keyed(dir, file string) map[string]*uint64 {
	text, err := cgroups.ReadFile(dir, file)
	if err != nil {
		return nil
	}
	m := map[string]*uint64{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			m[key] = &n
		}
	}
	return m
}

// pressure reads the totals of a PSI file: "some avg10=0.00 avg60=0.00 avg300=0.00 total=12", in microseconds.
func pressure(dir, file string) *Pressure {
	text, err := cgroups.ReadFile(dir, file)
	if err != nil { // EOPNOTSUPP where PSI is off
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

func minus(a, b *uint64) *uint64 {
	if a == nil || b == nil {
		return nil
	}
	n := *a - min(*a, *b)
	return &n
}
