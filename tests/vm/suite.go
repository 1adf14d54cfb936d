package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A test is one test binary of the suite. Every test runs both as root and as the ordinary user.
type test struct {
	name    string // the name of the job
	dir     string // the package's directory
	run     string // a regular expression for the tests that depend on the machine's kernel
	short   string // a regular expression for the tests that .ci/run selects
	timeout time.Duration
}

var suite = []test{
	{"e2e", "tests/e2e", "^(TestScripts|TestJobControl|TestPlanIsWhatHappens)$", "^TestScripts$/^(cgroup|doctor|identity|network|report)$", 20 * time.Minute},
	{"sandbox", "sandbox", "", "^(TestGroup|TestFreeze$|TestDevices|TestRootIsNobody$|TestHostIDs$)", 25 * time.Minute},
	{"child", "sandbox/internal/child", "", "", 10 * time.Minute},
	{"attacks", "tests/attacks", "^TestMatrix$", "", 25 * time.Minute},
}

// manyLaunches matches tests of sandbox and of child that launch hundreds of times, to find rare faults. On an emulated
// machine they take an hour, and they do not depend on the kernel's version.
const manyLaunches = "^(TestConcurrent|TestFaults|TestSignalDuringLaunch|TestKilledDuringLaunch|TestMany|TestExecRace)"

type suiteOptions struct {
	kernels []string
	run     string // a regular expression that replaces each test's own
	as      string // root, user, or both
	short   bool
	systemd bool     // run only the jobs for a machine with systemd
	names   []string // the names of the tests; none means all
}

// A boot is one of the suite's machines.
type boot struct {
	what string // a description, without the kernel
	orders
}

// boots returns the machines for each kernel: one without systemd, and one with systemd.
func (o suiteOptions) boots(checkout string) (list []boot, err error) {
	named := slices.Contains(o.names, systemd)
	if !o.systemd && !(named && len(o.names) == 1) {
		jobs, err := o.jobs(checkout)
		if err != nil {
			return nil, err
		}
		list = append(list, boot{orders: orders{Jobs: jobs}})
	}
	if o.systemd || named || o.names == nil && o.run == "" && !o.short {
		list = append(list, boot{" with systemd", orders{Systemd: true, Jobs: o.systemdJobs()}})
	}
	return list, nil
}

// runSuite boots the machines of each kernel and runs the tests there. The code is 1 if a test failed.
func runSuite(ctx context.Context, o suiteOptions, checkout string) (int, error) {
	if o.as != "" && o.as != "root" && o.as != "user" {
		return 0, fmt.Errorf("--as %s: neither root nor user", o.as)
	}
	boots, err := o.boots(checkout)
	if err != nil {
		return 0, err
	}
	root, err := rootImage()
	if err != nil {
		return 0, err
	}
	var failed []string
	for _, name := range o.kernels {
		k, err := getKernel(name)
		if err != nil {
			return 0, err
		}
		for _, b := range boots {
			which := "Linux " + k.release + b.what
			fmt.Printf("--- vm: %s\n", which)
			begun := time.Now()
			m := machine{kernel: k, root: root, checkout: checkout, files: plainFiles(checkout), timeout: b.limit(), out: os.Stdout, orders: b.orders}
			result, err := m.run(ctx)
			switch {
			case ctx.Err() != nil:
				return 0, err
			case err != nil: // the other machines may succeed
				fmt.Println("vm:", err)
				result.Failed = append(result.Failed, which)
			}
			for _, job := range result.Failed {
				failed = append(failed, name+" "+job)
			}
			fmt.Printf("--- vm: %s: %d jobs, %d failed, %.0f s\n", which, len(b.Jobs), len(result.Failed), time.Since(begun).Seconds())
		}
	}
	if failed != nil {
		return 1, fmt.Errorf("failed: %s", strings.Join(failed, ", "))
	}
	return 0, nil
}

// limit returns how long a machine may take.
func (b *boot) limit() time.Duration {
	limit := 5 * time.Minute // for the boot, under load
	for _, j := range b.Jobs {
		limit += mostSlowed * j.Timeout
	}
	return limit
}

// jobs returns the suite's jobs that the options select, and builds their test binaries in bin/tests.
func (o suiteOptions) jobs(checkout string) ([]job, error) {
	var jobs, users []job
	for _, t := range suite {
		if o.short && t.short == "" || o.names != nil && !slices.Contains(o.names, t.name) {
			continue
		}
		binary := filepath.Join("bin", "tests", t.name+".test")
		if err := buildTest(checkout, binary, t.dir); err != nil {
			return nil, err
		}
		run := cmp.Or(o.run, t.run)
		if o.short {
			run = cmp.Or(o.run, t.short)
		}
		j := job{Name: "root " + t.name, Test: true, Dir: "/cordon/" + t.dir, Timeout: t.timeout, Env: testEnv,
			Args: []string{"/cordon/" + binary, "-test.v", "-test.short", "-test.run=" + run, "-test.skip=" + manyLaunches, "-test.timeout=" + timeoutHere}}
		jobs = append(jobs, j)
		j.Name, j.User = "user "+t.name, true
		users = append(users, j)
	}
	if o.names == nil && o.run == "" || slices.Contains(o.names, "initramfs") {
		jobs = append(jobs, job{Name: "root initramfs", Plain: true, Dir: "/", Env: testEnv, Timeout: 5 * time.Minute,
			Args: []string{"/bin/busybox", "sh", "/initramfs.sh"}})
	}
	switch o.as {
	case "root":
		users = nil
	case "user":
		jobs = nil
	}
	jobs = append(jobs, users...)
	if len(jobs) == 0 {
		return nil, fmt.Errorf("no test is named %s", strings.Join(o.names, " "))
	}
	return jobs, nil
}

// testEnv has variables that make every missing feature a failure.
var testEnv = []string{"CORDON_BIN=/cordon/bin/cordon", "CI=true", "CORDON_CI=1", "CORDON_SLOW=" + slowHere}

func buildTest(checkout, binary, dir string) error {
	cmd := exec.Command("go", "test", "-c", "-o", binary, "./"+dir)
	cmd.Dir = checkout
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%q: %w\n%s", cmd.Args, err, out)
	}
	return nil
}

// plainFiles returns the files for the initramfs, which is the root of plain jobs.
func plainFiles(checkout string) map[string]string {
	return map[string]string{"bin/cordon": checkout + "/bin/cordon", "bin/busybox": "/usr/bin/busybox"}
}
