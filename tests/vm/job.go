package main

import "time"

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
