package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// recordedCalls is how many getppid the first workload makes.
const recordedCalls = 200_000

// A recordedWork is a program that is timed alone and recorded, and what its recording may cost, as a multiple.
type recordedWork struct {
	name        string
	args        []string // nil: getppid, by this program
	root, other float64  // asked of bpf, and of notify; 0: nothing
}

var recordedWorks = []recordedWork{
	{"getppid", nil, 1.8, 0},
	{"find", []string{"find", "/usr/lib", "/usr/include"}, 1.8, 1.8},
	{"tar", []string{"sh", "-c", "tar cf - /usr/include | cat >/dev/null"}, 0, 1.6},
	{"gcc", []string{"sh", "-c", "for i in 1 2 3; do gcc main.c -o main; done"}, 1.3, 1.3},
}

// recordings times each workload alone, recorded by each back end and under strace, by turns, inside: what the launch
// takes, and loading the programs of bpf, is left out. The shortest of each counts. strace is run once.
func recordings(e effort) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("/var/tmp", "cordon-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "main.c"), []byte("int main(void) { return 0; }\n"), 0o644); err != nil {
		return err
	}
	record := func(backend string) []string {
		return []string{filepath.Join(filepath.Dir(self), "cordon"), "record", "-o", filepath.Join(dir, "out.rec"), "--backend", backend, "--rw", dir, "--ro", self, "--"}
	}
	ways := []struct {
		name string
		args []string
	}{{"alone", nil}, {"bpf", record("bpf")}, {"notify", record("notify")}, {"strace -f", []string{"strace", "-f", "-o", "/dev/null"}}}
	rounds := max(3, e.Denials/4)
	fmt.Printf("| recorded | alone, ms | bpf | notify | strace -f |\n|---|---:|---:|---:|---:|\n")
	for _, w := range recordedWorks {
		var best [4]time.Duration
		for round := range rounds {
			for i, way := range ways {
				if way.name == "strace -f" && round > 0 || way.name == "bpf" && os.Getuid() != 0 {
					continue
				}
				d, err := timed(dir, append(slices.Clone(way.args), append([]string{self, "-timed"}, w.args...)...))
				if err != nil {
					return fmt.Errorf("%s, %s: %w", w.name, way.name, err)
				}
				if best[i] == 0 || d < best[i] {
					best[i] = d
				}
			}
		}
		ratio := func(i int) string {
			if best[i] == 0 {
				return "–"
			}
			return strconv.FormatFloat(float64(best[i])/float64(best[0]), 'f', 2, 64)
		}
		fmt.Printf("| %s | %d | %s | %s | %s |\n", w.name, best[0].Milliseconds(), ratio(1), ratio(2), ratio(3))
		if e.Judge && (w.root > 0 && float64(best[1]) > w.root*float64(best[0]) || w.other > 0 && float64(best[2]) > w.other*float64(best[0])) {
			err = fmt.Errorf("%s: asked are %v (bpf) and %v (notify)", w.name, w.root, w.other)
		}
	}
	return err
}

// timed runs a command that prints how long its work took.
func timed(dir string, args []string) (time.Duration, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return 0, err
	}
	ns, err := strconv.ParseInt(string(out), 10, 64)
	return time.Duration(ns), err
}

// timedWork is the main of this program inside.
func timedWork(args []string) error {
	start := time.Now()
	if len(args) == 0 {
		runtime.LockOSThread()
		for range recordedCalls {
			_, _, _ = unix.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
		}
	} else if err := exec.Command(args[0], args[1:]...).Run(); err != nil {
		return err
	}
	fmt.Print(time.Since(start).Nanoseconds())
	return nil
}
