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
	User    bool // as the ordinary user, in a cgroup that is the user's
	Test    bool // it prints what `go test -v` does, which is made short
	Plain   bool // in the initramfs, before there is another root
	Timeout time.Duration
}

// What stands in a job's arguments and environment for what depends on how busy the machine is.
const (
	timeoutHere = "{timeout}" // for the program to end itself: a little less than the job's
	slowHere    = "{slow}"    // how many times slower than a usual machine it is
)

// slower is by how much the emulation is slower than a machine: tests wait so much longer.
const slower = 30

// mostSlowed bounds how much longer everything takes where others use the machine, too.
const mostSlowed = 4

// stretched is the job on a machine that is so many times slower than usual.
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

// orders are what the initramfs holds for init.
type orders struct {
	Jobs    []job
	Quiet   bool // one job: its output and nothing else
	Systemd bool // that is what becomes of init
}

// outcome is what init says at the end.
type outcome struct {
	Code   int      // of the last job that failed, or 0
	Failed []string // names of jobs
	Error  string   // why init could not do its part
}
