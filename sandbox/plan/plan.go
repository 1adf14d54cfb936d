// Package plan holds the plan of a launch: a flat list of system calls as plain data, without pointers into anything.
// It can be printed in strace(1)'s syntax, compared and encoded; it touches no operating system.
package plan

// Plan is everything that the child does between clone and exec.
type Plan struct{}
