package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"cordon/tests/scratch"
)

// fits limits the time of a workload in an audit of its system calls, if the profile denies none of them. It is a
// multiple of the workload's time under the sandbox's filter.
const fits = 1.02

// audits measures each workload of the recordings under a sandbox's filter, in an audit of calls, and in a complete
// audit. It alternates between the three. The workload measures its own time, inside. The shortest time of each counts.
func audits(e effort) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := scratch.Dir("/var/tmp", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "main.c"), []byte("int main(void) { return 0; }\n"), 0o644); err != nil {
		return err
	}
	cordon := func(args ...string) []string {
		return slices.Concat([]string{filepath.Join(filepath.Dir(self), "cordon")}, args, []string{"-p", "build", "--rw", dir, "--ro", self, "--"})
	}
	ways := [][]string{cordon("run", "--on-denial", "silent"), cordon("audit", "--calls"), cordon("audit")}
	fmt.Printf("| audited | in the sandbox, ms | --calls | complete |\n|---|---:|---:|---:|\n")
	for _, w := range recordedWorks {
		if !w.here() {
			continue
		}
		var best [3]time.Duration
		for range max(5, e.Denials) {
			for i, way := range ways {
				d, err := w.run(self, dir, way)
				if err != nil {
					return fmt.Errorf("%s, %q: %w", w.name, way, err)
				}
				if best[i] == 0 || d < best[i] {
					best[i] = d
				}
			}
		}
		ratio := func(i int) float64 { return float64(best[i]) / float64(best[0]) }
		fmt.Printf("| %s | %d | %s | %s |\n", w.name, best[0].Milliseconds(), strconv.FormatFloat(ratio(1), 'f', 3, 64), strconv.FormatFloat(ratio(2), 'f', 2, 64))
		if e.Judge && w.name == "getppid" && ratio(1) > fits {
			err = fmt.Errorf("%s: asked is %v of an audit of calls", w.name, fits)
		}
	}
	return err
}
