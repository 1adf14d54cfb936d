package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// nameSilent is the row of the launch that does not report denied calls. The profile default reports them.
const nameSilent = "cordon run, denied calls not reported"

// maxReportedCall limits the time of an allowed call if denied calls are reported. It is a multiple of the time without
// reports. It permits the difference between two measurements of the same thing.
const maxReportedCall = 1.05

// A callCost is the time of calls in the profile default, in nanoseconds, with one value for each round.
type callCost struct{ Allowed, Denied []float64 }

// denials measures calls in a sandbox that reports denied calls, and in one that does not, alternately. Both run this
// program.
func (f *figures) denials(dir string, e effort) error {
	for range e.Denials {
		for _, c := range []struct {
			word string
			to   *callCost
		}{{"report", &f.Reported}, {"silent", &f.Silent}} {
			self := dir + "/bench"
			cmd := exec.Command(dir+"/cordon", "run", "--on-denial", c.word, "--ro", self, "--", self, "-calls")
			var said strings.Builder
			cmd.Stderr = &said // there cordon prints the denied calls
			out, err := cmd.Output()
			if err != nil {
				return fmt.Errorf("%q: %w: %s", cmd.Args, err, said.String())
			}
			var one callCost
			if err := json.Unmarshal(out, &one); err != nil {
				return err
			}
			c.to.Allowed = append(c.to.Allowed, one.Allowed...)
			c.to.Denied = append(c.to.Denied, one.Denied...)
		}
	}
	return nil
}

// measureCalls is the main function of this program in the sandbox. The profile allows getppid without conditions,
// and the kernel answers it without running the filter. The profile denies keyctl.
func measureCalls() error {
	runtime.LockOSThread()
	allowed, err := callTime(200_000, 0, unix.SYS_GETPPID)
	if err != nil {
		return err
	}
	denied, err := callTime(5_000, unix.EPERM, unix.SYS_KEYCTL)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(callCost{[]float64{allowed}, []float64{denied}})
}

// callTime returns the time of one call, which must end with the error want. It measures ten batches and returns the
// shortest time, because nothing disturbed that batch.
func callTime(calls int, want unix.Errno, nr uintptr) (best float64, err error) {
	const batches = 10
	for range batches {
		start := time.Now()
		for range calls / batches {
			if _, _, errno := unix.RawSyscall(nr, 0, 0, 0); errno != want {
				return 0, fmt.Errorf("call %d: %w, not %w", nr, errno, want)
			}
		}
		if t := float64(time.Since(start)) / float64(calls/batches); best == 0 || t < best {
			best = t
		}
	}
	return best, nil
}

func (f *figures) denialCheck() check {
	return check{"an allowed call where denied ones are reported, against not", medianOf(f.Reported.Allowed) / medianOf(f.Silent.Allowed), maxReportedCall, ratio}
}

// formatDenials prints the cost of reporting denied calls. Only the allowed call is judged.
func (f *figures) formatDenials(b *strings.Builder) {
	fmt.Fprintf(b, "\n| denied calls are | launch, mean | median | an allowed call | a denied call |\n|---|--:|--:|--:|--:|\n")
	for _, c := range []struct {
		name   string
		launch row
		calls  callCost
	}{{"reported", f.row(nameCordon), f.Reported}, {"not reported", f.row(nameSilent), f.Silent}} {
		fmt.Fprintf(b, "| %s | %s | %s | %.0f ns (%.0f ns) | %.2f µs (%.2f µs) |\n", c.name, seconds(c.launch.mean()), seconds(c.launch.median()),
			medianOf(c.calls.Allowed), slices.Min(c.calls.Allowed), medianOf(c.calls.Denied)/1e3, slices.Min(c.calls.Denied)/1e3)
	}
	fmt.Fprintf(b, "| ratio | %.2f | %.2f | %.2f | %.1f |\n", f.row(nameCordon).mean()/f.row(nameSilent).mean(), f.row(nameCordon).median()/f.row(nameSilent).median(),
		medianOf(f.Reported.Allowed)/medianOf(f.Silent.Allowed), medianOf(f.Reported.Denied)/medianOf(f.Silent.Denied))
}
