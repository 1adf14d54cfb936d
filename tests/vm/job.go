package main

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// A job is one program that the machine runs.
type job struct {
	Name    string
	Args    []string
	Dir     string
	Env     []string
	User    bool // run as the ordinary user, in a cgroup that belongs to this user
	Test    bool // the job prints the output of `go test -v`, which testLog shortens
	Plain   bool // run in the initramfs, before the machine has another root
	Timeout time.Duration
}

// These words in a job's arguments and environment stand for values that depend on how busy the machine is.
const (
	timeoutHere = "{timeout}" // a time after which the program should end itself: a little less than the job's timeout
	slowHere    = "{slow}"    // how many times slower than a usual machine this machine is
)

// slower is how many times slower the emulation is than a real machine. Tests wait that much longer.
const slower = 30

// mostSlowed limits how many times longer everything may take if other programs use the host too.
const mostSlowed = 4

// stretched returns the job for a machine that is by times slower than usual.
func (j job) stretched(by float64) job {
	j.Timeout = time.Duration(float64(j.Timeout) * by)
	words := strings.NewReplacer(timeoutHere, (j.Timeout - 10*time.Second).String(), slowHere, strconv.Itoa(int(slower*by)))
	j.Args, j.Env = slices.Clone(j.Args), slices.Clone(j.Env)
	for _, list := range [][]string{j.Args, j.Env} {
		for i := range list {
			list[i] = words.Replace(list[i])
		}
	}
	return j
}

// orders says what init must do. The initramfs contains the orders.
type orders struct {
	Jobs    []job
	Quiet   bool // there is one job: print only its output
	Systemd bool // init becomes systemd
}

// outcome is what init reports at the end.
type outcome struct {
	Code   int      // the exit code of the last job that failed, or 0
	Failed []string // the names of the failed jobs
	Error  string   // why init could not do its own work
}
