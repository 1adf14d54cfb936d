package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// copies is how many copies of each compared program exist. The kernel's cache may hold a file page by page or in large
// pieces, depending on how the file was written. That makes a launch up to a sixth faster or slower. So all copies are
// written alike, and no figure depends on a single file.
const copies = 5

// copyDir is a word of a command. It stands for the directory with the copies of the current turn.
const copyDir = "{copies}"

// makeCopies writes the copies of programs, each in one call of write(2).
func makeCopies(dir string, programs map[string]string) error {
	for i := range copies {
		to := filepath.Join(dir, "copies", strconv.Itoa(i))
		if err := os.MkdirAll(to, 0o755); err != nil {
			return err
		}
		for name, from := range programs {
			text, err := os.ReadFile(from)
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(to, name), text, 0o755); err != nil {
				return err
			}
		}
	}
	return nil
}

// A sample is the time of one run, in seconds.
type sample struct{ wall, cpu float64 }

// once runs a command, and waits for it and for all processes that it leaves behind. The processor time includes all of
// them: this process is the subreaper (prctl(2)) of processes that outlive their parent.
func once(words []string) (sample, error) {
	start := time.Now()
	p, err := os.StartProcess(words[0], words, &os.ProcAttr{Env: os.Environ()})
	if err != nil {
		return sample{}, err
	}
	state, err := p.Wait()
	s := sample{wall: time.Since(start).Seconds()}
	if err == nil && !state.Success() {
		err = fmt.Errorf("%s: %s", strings.Join(words, " "), state)
	}
	if err != nil {
		return s, err
	}
	s.cpu = (state.UserTime() + state.SystemTime()).Seconds()
	for {
		var usage unix.Rusage
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, &usage)
		if err != nil || pid <= 0 {
			return s, nil //nolint:nilerr // no child is left
		}
		s.cpu += cpuOf(&usage)
	}
}

func cpuOf(u *unix.Rusage) float64 { return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9 }

// ownLaunch does the same as once for the library, which launches from this process.
func ownLaunch() (sample, error) {
	before := ownCPU()
	took, err := launch()
	return sample{took.Seconds(), ownCPU() - before}, err
}

// ownCPU returns the processor time of this process and of the children that it has waited for.
func ownCPU() float64 {
	var self, children unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &self)
	_ = unix.Getrusage(unix.RUSAGE_CHILDREN, &children)
	return cpuOf(&self) + cpuOf(&children)
}

// turns runs all rows in turns. Each turn runs every row once, in random order, with the next copies of the programs.
// So entry i of every row comes from the same turn, and entries i of two rows are a pair.
func (f *figures) turns(dir string, n int) error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	order := make([]int, len(f.Rows))
	for i := range order {
		order[i] = i
	}
	for turn := -2; turn < n; turn++ { // the first two only warm up
		rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, i := range order {
			s, err := f.Rows[i].run(dir, turn+2)
			if err != nil {
				return err
			}
			if turn >= 0 {
				f.Rows[i].Times, f.Rows[i].CPU = append(f.Rows[i].Times, s.wall), append(f.Rows[i].CPU, s.cpu)
			}
		}
	}
	return nil
}

// run runs a row with the copies of one turn.
func (r *row) run(dir string, turn int) (sample, error) {
	if r.command == "" {
		return ownLaunch()
	}
	if r.fresh {
		if err := forget(); err != nil {
			return sample{}, err
		}
	}
	return once(r.words(dir, turn+r.shift))
}

// words returns the command of a row, with the paths of its programs.
func (r *row) words(dir string, turn int) []string {
	words := strings.Fields(strings.ReplaceAll(r.command, copyDir, filepath.Join(dir, "copies", strconv.Itoa(turn%copies))))
	if path, err := exec.LookPath(words[0]); err == nil {
		words[0] = path
	}
	return words
}

// interval is a median, and the interval that contains it with a probability of 95 %. It is computed by the bootstrap:
// the same median of many samples, which are drawn with repetition from the measured values.
type interval struct{ median, low, high float64 }

func (x interval) String() string { return fmt.Sprintf("%.2f (%.2f–%.2f)", x.median, x.low, x.high) }

// resamples is how many samples the bootstrap draws.
const resamples = 500

// pairs returns the ratio of two rows, turn by turn.
func pairs(a, b []float64) interval {
	n := min(len(a), len(b))
	if n == 0 {
		return interval{}
	}
	ratios := make([]float64, n)
	for i := range ratios {
		ratios[i] = a[i] / b[i]
	}
	r := rand.New(rand.NewPCG(1, uint64(n))) // the same figures give the same interval
	medians, drawn := make([]float64, resamples), make([]float64, n)
	for i := range medians {
		for j := range drawn {
			drawn[j] = ratios[r.IntN(n)]
		}
		medians[i] = median(drawn)
	}
	slices.Sort(medians)
	return interval{median(ratios), medians[resamples*25/1000], medians[resamples*975/1000]}
}

// median sorts a list, and returns its middle.
func median(list []float64) float64 {
	slices.Sort(list)
	n := len(list)
	if n%2 == 0 {
		return (list[n/2-1] + list[n/2]) / 2
	}
	return list[n/2]
}
