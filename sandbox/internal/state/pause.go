package state

// This file pauses a sandbox and measures what it uses, for commands other than the sandbox's launcher: cgroups(7),
// signal(7). It uses the sandbox's cgroup. If there is none, it handles each process separately.

import (
	"errors"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/cgroup"
	"cordon/sandbox/internal/fail"
)

// Cgroup says where a sandbox's cgroups are.
type Cgroup = cgroup.Place

// Counters holds the kernel's counters for the sandbox's cgroups: see [Sample].
type Counters = cgroup.Stats

// maxStopping limits how many times stopAll goes through the processes. Going through them once is not enough, because
// processes may fork meanwhile.
const maxStopping = 200

// Pause stops every process of the sandbox. by says how: "cgroup", or "SIGSTOP" if there is no freezer. With SIGSTOP,
// the sandbox's pid 1 continues to run, but it does nothing except reap. Somebody outside could then continue a process
// by SIGCONT.
func (e *Entry) Pause() (by string, err error) {
	if err := e.running(); err != nil {
		return "", err
	}
	if e.State.Cgroup != nil {
		err := e.State.Cgroup.Freeze()
		if err == nil {
			return "cgroup", nil
		}
		if !errors.Is(err, cgroup.ErrNoFreezer) {
			return "", &fail.Error{Op: "pause sandbox " + e.State.ID, Err: err}
		}
	}
	return "SIGSTOP", e.stopAll()
}

// Resume continues the processes of a paused sandbox.
func (e *Entry) Resume() error {
	if err := e.running(); err != nil {
		return err
	}
	if e.State.Cgroup != nil {
		if err := e.State.Cgroup.Thaw(); err != nil && !errors.Is(err, cgroup.ErrNoFreezer) {
			return &fail.Error{Op: "resume sandbox " + e.State.ID, Err: err}
		}
	}
	t, err := Processes()
	if err != nil {
		return err
	}
	for _, p := range t.Of(e) {
		if p.stopped() || p.State == "D" { // see stopAll
			if err := e.signalOne(p, unix.SIGCONT); err != nil {
				return err
			}
		}
	}
	return nil
}

// running returns nil if the sandbox can be paused and inspected, and otherwise an error with the reason.
func (e *Entry) running() error {
	fail := func(why, hint string) error {
		return &fail.Error{Op: "sandbox " + e.State.ID, Err: errors.New(why), Hint: hint}
	}
	switch e.Status() {
	case StatusRunning:
	case StatusStarting:
		return fail("is only starting", "")
	default:
		return fail("has ended", "cordon ps -a shows how")
	}
	if !e.sameSpace() {
		return fail("was started in another pid namespace", "its processes have no numbers here; run cordon where you started the sandbox")
	}
	return nil
}

// stopAll stops every process except pid 1, until no running process is left that could fork. If SIGSTOP was sent to a
// process in state D, that process cannot fork either, because it stops before it leaves the kernel. For example, a
// process that has called vfork(2) waits in the kernel while its child is stopped.
func (e *Entry) stopAll() error {
	told := map[ProcessID]bool{}
	for range maxStopping {
		t, err := Processes()
		if err != nil {
			return err
		}
		all := t.Of(e)
		if len(all) == 0 {
			return e.running()
		}
		going := 0
		for _, p := range all[1:] {
			id := ProcessID{p.PID, p.Start}
			if p.stopped() || p.State == "Z" || p.State == "D" && told[id] {
				continue
			}
			going++
			told[id] = true
			if err := e.signalOne(p, unix.SIGSTOP); err != nil {
				return err
			}
		}
		if going == 0 {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	_ = e.Resume()
	return &fail.Error{Op: "pause sandbox " + e.State.ID, Err: errors.New("its processes do not stop"), Hint: "a cgroup can stop them at once: start the sandbox with a limit, such as --pids 512"}
}

// signalOne sends a signal to a process of the table, unless another process has its pid now.
func (e *Entry) signalOne(p *Process, sig unix.Signal) error {
	fd, err := ProcessID{p.PID, p.Start}.open()
	if err == unix.ESRCH {
		return nil // the process has ended
	}
	if err != nil {
		return &fail.Error{Op: "signal pid " + strconv.Itoa(p.PID) + " of sandbox " + e.State.ID, Err: err}
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && err != unix.ESRCH {
		return &fail.Error{Op: "signal pid " + strconv.Itoa(p.PID) + " of sandbox " + e.State.ID, Err: err}
	}
	return nil
}

func (p *Process) stopped() bool { return p.State == "T" || p.State == "t" }

// Paused reports whether every process of the sandbox is stopped. If the cgroup is not frozen, pid 1 need not be
// stopped, because it continues to run: see Pause.
func (e *Entry) Paused(t ProcTable) bool {
	if e.State.Cgroup != nil {
		if frozen, err := e.State.Cgroup.Frozen(); err == nil && frozen {
			return true
		}
	}
	stopped := false
	for i, p := range t.Of(e) {
		switch {
		case p.stopped():
			stopped = true
		case i > 0 && p.State != "Z" && p.State != "D": // see stopAll
			return false
		}
	}
	return stopped
}

// Sample is the resource use of a running sandbox at one moment.
type Sample struct {
	At        time.Time     `json:"at"`
	Source    string        `json:"source"`                       // "cgroup", or "proc": summed over the living processes
	CPU       time.Duration `json:"cpu_ns"`                       // user and system
	Memory    int64         `json:"memory_bytes"`                 // "proc": sum of resident sets; shared memory counts repeatedly
	Limit     int64         `json:"memory_limit_bytes,omitempty"` // 0 means none
	Processes int           `json:"processes"`
	Read      *int64        `json:"read_bytes,omitempty"` // bytes from block devices; nil if they are not counted
	Written   *int64        `json:"written_bytes,omitempty"`
	Counters  *Counters     `json:"cgroup,omitempty"` // all counters of the sandbox's cgroups
}

// Sample measures what the sandbox uses now. The numbers come from its cgroups. If it has none, or if they do not count
// something, the numbers come from its processes in /proc.
func (e *Entry) Sample(t ProcTable) (*Sample, error) {
	if err := e.running(); err != nil {
		return nil, err
	}
	u := &Sample{At: time.Now(), Source: "proc", Limit: e.State.Memory}
	for _, p := range t.Of(e) {
		u.Processes++
		u.CPU += p.User + p.System
		u.Memory += p.RSS
	}
	if e.State.Cgroup == nil {
		return u, nil
	}
	s, err := e.State.Cgroup.Stats()
	if err != nil {
		return nil, &fail.Error{Op: "sandbox " + e.State.ID, Err: err}
	}
	u.Source, u.Counters = "cgroup", s
	if s.CPU != nil && s.CPU.Usage != nil {
		u.CPU = *s.CPU.Usage
	}
	if s.Memory != nil && s.Memory.Current != nil {
		u.Memory = int64(*s.Memory.Current)
	}
	if s.IO != nil {
		u.Read, u.Written = bytesOf(s.IO.ReadBytes), bytesOf(s.IO.WriteBytes)
	}
	return u, nil
}

func bytesOf(n *uint64) *int64 {
	if n == nil {
		return nil
	}
	v := int64(*n)
	return &v
}
