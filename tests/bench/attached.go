package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"

	"cordon/sandbox/record"
)

// maxAttach is how long attaching to a running program may take, after the kernel has verified the recorder's
// programs.
const maxAttach = 10 * time.Millisecond

// attaching measures how a recorder attaches to a running program, which only root can do. It measures how long it
// takes to load the recorder's programs, to find the process, and to attach until every thread is known. It prints the
// shortest and the median time of the rounds, and judges the shortest.
func attaching(e effort) error {
	if os.Getuid() != 0 {
		return nil
	}
	var load, find, attach []time.Duration
	for range max(5, e.Denials/4) {
		took, err := attachOnce()
		if err != nil {
			return err
		}
		load, find, attach = append(load, took[0]), append(find, took[1]), append(attach, took[2])
	}
	fmt.Printf("| to a program that runs | shortest, ms | median, ms |\n|---|---:|---:|\n")
	for _, row := range []struct {
		name  string
		times []time.Duration
	}{{"load the programs", load}, {"find the process", find}, {"attach", attach}} {
		slices.Sort(row.times)
		ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
		fmt.Printf("| %s | %.2f | %.2f |\n", row.name, ms(row.times[0]), ms(row.times[len(row.times)/2]))
	}
	if best := slices.Min(attach); e.Judge && best > maxAttach {
		return fmt.Errorf("attaching took %v at least: asked are %v", best, maxAttach)
	}
	return nil
}

// attachOnce records a sleeping program for a moment.
func attachOnce() (took [3]time.Duration, err error) {
	c := exec.Command("sleep", "60")
	if err := c.Start(); err != nil {
		return took, err
	}
	defer func() { _ = c.Process.Kill(); _ = c.Wait() }()
	times := [4]time.Time{time.Now()}
	r, err := record.New(record.Options{Backend: record.BPF})
	if err != nil {
		return took, err
	}
	defer r.Stop()
	times[1] = time.Now()
	to, err := record.Tree(c.Process.Pid)
	if err != nil {
		return took, err
	}
	defer to.Close()
	times[2] = time.Now()
	err = r.Attach(to)
	times[3] = time.Now()
	for i := range took {
		took[i] = times[i+1].Sub(times[i])
	}
	return took, err
}
