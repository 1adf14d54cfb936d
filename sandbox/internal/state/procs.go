package state

// This file reads processes from /proc: to which sandbox each process belongs, which process is its parent, and what it
// uses: proc_pid_stat(5), proc_pid_status(5).

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"cordon/sandbox/internal/proc"
)

// Process is one process of a sandbox, seen from outside.
type Process struct {
	PID     int           `json:"pid"`
	Inside  int           `json:"pid_inside,omitempty"` // its pid in the sandbox's own pid namespace
	PPID    int           `json:"ppid"`
	State   string        `json:"state"` // one letter: R S D T t Z, …
	Comm    string        `json:"comm"`
	Args    []string      `json:"args,omitempty"`
	Threads int           `json:"threads"`
	User    time.Duration `json:"user_ns"`
	System  time.Duration `json:"system_ns"`
	RSS     int64         `json:"rss_bytes"`
	Start   uint64        `json:"start"` // in clock ticks since boot

	space string // the pid namespace in which it has that pid: "pid:[…]"; "" if it may not be read
}

// ProcTable holds all processes at one moment, by pid.
type ProcTable map[int]*Process

// Processes reads the table from /proc.
func Processes() (ProcTable, error) {
	all, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	t := ProcTable{}
	for _, i := range all {
		pid, err := strconv.Atoi(i.Name())
		if err != nil {
			continue
		}
		if p := readProcess(pid); p != nil {
			t[pid] = p
		}
	}
	return t, nil
}

// readProcess returns nil if the process has ended meanwhile.
func readProcess(pid int) *Process {
	dir := "/proc/" + strconv.Itoa(pid)
	b, err := proc.ReadSome(dir+"/stat", 1024)
	if err != nil {
		return nil
	}
	st, err := proc.ParseStat(b)
	if err != nil {
		return nil
	}
	p := &Process{PID: pid, PPID: st.PPID, State: st.State, Comm: st.Comm, Threads: st.Threads, User: st.User, System: st.System,
		RSS: st.RSS * int64(os.Getpagesize()), Start: st.Start}
	p.space, _ = proc.Readlink(dir + "/ns/pid") // reading this needs more rights than the rest
	return p
}

// describe reads those properties that need more system calls: the arguments, and the pid inside the sandbox.
func (p *Process) describe() {
	dir := "/proc/" + strconv.Itoa(p.PID)
	if b, err := proc.ReadSome(dir+"/cmdline", 4096); err == nil && len(b) > 0 {
		p.Args = strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
	}
	b, _ := proc.ReadSome(dir+"/status", 4096)
	for line := range strings.Lines(string(b)) {
		if list, found := strings.CutPrefix(line, "NSpid:"); found {
			if f := strings.Fields(list); len(f) > 1 {
				p.Inside, _ = strconv.Atoi(f[len(f)-1]) // the kernel writes only digits
			}
		}
	}
}

// Of returns the processes of a sandbox, with pid 1 first and parents before children. They are the descendants of the
// sandbox's pid 1, and all other processes in its pid namespace. If the sandbox has joined an existing pid namespace,
// Of returns only the descendants, because that namespace has unrelated processes too.
func (t ProcTable) Of(e *Entry) []*Process {
	s := &e.State
	if s.Init == nil || !e.sameSpace() {
		return nil
	}
	init, space := t[s.Init.PID], ""
	if s.Task != nil && t[s.Task.PID] != nil && t[s.Task.PID].Start == s.Task.Start {
		space = t[s.Task.PID].space
		if init == nil && s.Init.hidden() && e.alive() {
			init = t[s.Task.PID] // the task, if /proc hides init
		}
	}
	if init == nil || init.PID == s.Init.PID && init.Start != s.Init.Start {
		return nil
	}
	if init.describe(); space == s.PIDSpace || init.PID == s.Init.PID && init.Inside != 1 { // no pid namespace of its own
		space = ""
	}
	in := map[int]bool{init.PID: true}
	for more := true; more; {
		more = false
		for pid, p := range t {
			if !in[pid] && (in[p.PPID] || space != "" && p.space == space) {
				in[pid], more = true, true
			}
		}
	}
	return t.inOrder(in, init.PID)
}

// inOrder lists a set of processes as a tree, parents before children.
func (t ProcTable) inOrder(in map[int]bool, first int) []*Process {
	var list []*Process
	var walk func(pid int)
	walk = func(pid int) {
		t[pid].describe()
		list = append(list, t[pid])
		delete(in, pid)
		for _, child := range t.children(in, pid) {
			walk(child)
		}
	}
	walk(first)
	for len(in) > 0 { // processes from outside the sandbox, each with its descendants
		var roots []int
		for pid := range in {
			if !in[t[pid].PPID] {
				roots = append(roots, pid)
			}
		}
		if roots == nil { // the table has changed while it was read
			return list
		}
		slices.Sort(roots)
		for _, pid := range roots {
			walk(pid)
		}
	}
	return list
}

func (t ProcTable) children(in map[int]bool, of int) []int {
	var list []int
	for pid := range in {
		if t[pid].PPID == of {
			list = append(list, pid)
		}
	}
	slices.Sort(list)
	return list
}
