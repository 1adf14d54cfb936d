package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// maxBeside limits how much slower a sandbox may become if a bomb goes off again and again in another sandbox: by less
// than a tenth.
const maxBeside = 1 / 0.9

// bombs lists attacks of a hostile program, and how each must end: by the limit of that name, or with that message.
var bombs = [...]struct{ kind, end string }{
	{"memory", "cordon: oom: "}, {"forks", "cordon: pids: "}, {"flood", "cordon: output: "}, {"files", "too many open files"},
}

// bombLimits lists flags for limits that a profile does not set. The output limit is so large that the bomb takes a
// while, because a bomb that ends at once would only measure the cost of launches.
var bombLimits = []string{"--memory", "64MiB", "--pids", "40", "--cpus", "0.5", "--output", "1GiB", "--timeout", "10s", "--rlimit", "nofile=64"}

// bombProfiles lists the profiles under which a machine must survive the bombs.
var bombProfiles = [...]string{"default", "build", "judge"}

// A bombCost says how much work a sandbox does alone, and while a bomb goes off in another sandbox. Alone and Beside
// hold rounds of hashing per second, one value for each measurement. Went is how often the bomb went off.
type bombCost struct {
	Profile, Kind string
	Alone, Beside []float64
	Went          int
}

// besideBombs measures the cost of bombs. Only root can do this, because it needs cgroups.
func (f *figures) besideBombs(dir string, e effort) error {
	if f.UID != 0 {
		return nil
	}
	for _, profile := range bombProfiles {
		for _, b := range bombs {
			c := bombCost{Profile: profile, Kind: b.kind}
			for range e.Bombs {
				if err := c.measure(dir, b.end, e.BombTime); err != nil {
					return fmt.Errorf("bomb %s in %s: %w", b.kind, profile, err)
				}
			}
			f.Bombs = append(f.Bombs, c)
		}
	}
	return nil
}

func (c *bombCost) measure(dir, end string, span time.Duration) error {
	alone, err := work(dir, span)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	var bombing sync.WaitGroup
	var failed error
	var went atomic.Int32
	bombing.Go(func() {
		for ctx.Err() == nil && failed == nil {
			failed = explode(dir, c.Profile, c.Kind, end)
			went.Add(1)
		}
	})
	beside, err := work(dir, span)
	stop()
	bombing.Wait()
	if err != nil || failed != nil {
		return errors.Join(err, failed)
	}
	c.Alone, c.Beside, c.Went = append(c.Alone, alone), append(c.Beside, beside), c.Went+int(went.Load())
	return nil
}

// explode lets a bomb go off once, and checks that it ended in the expected way.
func explode(dir, profile, kind, end string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	self := dir + "/bench"
	args := append([]string{"run", "-p", profile}, bombLimits...)
	cmd := exec.CommandContext(ctx, dir+"/cordon", append(args, "--ro", self, "--", self, "-bomb", kind)...)
	var said bytes.Buffer
	cmd.Stderr = &said
	err := cmd.Run()
	if err == nil {
		err = errors.New("exit status 0")
	}
	if ctx.Err() != nil || cmd.ProcessState.Success() || !strings.Contains(said.String(), end) {
		return fmt.Errorf("it said %.300q, not %q: %w", said.String(), end, errors.Join(err, ctx.Err()))
	}
	return nil
}

// work returns how many rounds of hashing a sandbox does per second.
func work(dir string, span time.Duration) (float64, error) {
	self := dir + "/bench"
	out, err := exec.Command(dir+"/cordon", "run", "--ro", self, "--", self, "-work", span.String()).Output()
	if err != nil {
		return 0, err
	}
	var rounds float64
	return rounds, json.Unmarshal(out, &rounds)
}

// doWork is the main function of this program in the sandbox that is measured.
func doWork(span time.Duration) error {
	buf := make([]byte, 64<<10)
	rounds := 0.0
	began := time.Now()
	for time.Since(began) < span {
		sum := sha256.Sum256(buf)
		copy(buf, sum[:])
		rounds++
	}
	return json.NewEncoder(os.Stdout).Encode(rounds / time.Since(began).Seconds())
}

// doBomb is the main function of this program in the other sandbox. It takes a limited amount of resources, in case
// somebody runs it by mistake.
func doBomb(kind string) error {
	switch kind {
	case "memory":
		var held [][]byte
		for range 512 {
			b := make([]byte, 1<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			held = append(held, b)
		}
		return fmt.Errorf("%d MiB were to be had", len(held))
	case "forks":
		for range 400 {
			cmd := exec.Command("sleep", "5")
			if err := cmd.Start(); err != nil {
				time.Sleep(5 * time.Second) // the refusal ends the sandbox
				return err
			}
		}
		return fmt.Errorf("400 processes were to be had")
	case "flood":
		buf := make([]byte, 64<<10)
		for range 1 << 15 {
			if _, err := os.Stdout.Write(buf); err != nil {
				return err
			}
		}
		return fmt.Errorf("2 GiB of output were to be had")
	case "files":
		return takeFiles(time.Second)
	}
	return fmt.Errorf("unknown bomb %q", kind)
}

// takeFiles takes descriptors until none is left, again and again. When a timer is first set, Go's runtime makes its
// poller, which needs a descriptor. The runtime's scavenger may set a timer at any moment, and the runtime ends the
// process if it gets no descriptor. So takeFiles sets a timer first.
func takeFiles(span time.Duration) error {
	time.Sleep(time.Nanosecond)
	for began := time.Now(); ; {
		var held []int
		for len(held) < 5000 {
			fd, err := unix.Dup(2)
			if err != nil && time.Since(began) > span {
				return err
			}
			if err != nil {
				break
			}
			held = append(held, fd)
		}
		for _, fd := range held {
			unix.Close(fd)
		}
		if len(held) == 5000 {
			return fmt.Errorf("5000 descriptors were to be had")
		}
	}
}

// slowdown returns the median factor by which the same work took longer beside a bomb.
func (c *bombCost) slowdown() float64 {
	ratios := make([]float64, len(c.Alone))
	for i := range ratios {
		ratios[i] = c.Alone[i] / c.Beside[i]
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/2]
}

func (f *figures) bombChecks() (list []check) {
	for i := range f.Bombs {
		c := &f.Bombs[i]
		list = append(list, check{"work in a sandbox beside one in " + c.Profile + " with a bomb (" + c.Kind + "), against alone", c.slowdown(), maxBeside, ratio})
	}
	return list
}

func (f *figures) formatBombs(b *strings.Builder) {
	if len(f.Bombs) == 0 {
		return
	}
	fmt.Fprintf(b, "\n| a bomb in another sandbox | profile | went off | time for the same work, against alone |\n|---|---|--:|--:|\n")
	for i := range f.Bombs {
		c := &f.Bombs[i]
		fmt.Fprintf(b, "| %s | %s | %d | %.2f |\n", c.Kind, c.Profile, c.Went, c.slowdown())
	}
}
