package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"cordon/tests/scratch"
)

// The first workload calls getppid recordedCalls times, and repeats that recordedPieces times. The shortest time
// counts, because it is too short for the kernel to run another program meanwhile.
const (
	recordedCalls  = 2000
	recordedPieces = 200
)

// A recordedWork is a program that is timed alone and recorded. It has goals for the time of its recording, as
// multiples of its time alone.
type recordedWork struct {
	name        string
	args        []string // nil means that this program calls getppid
	root, other float64  // the goals for bpf and for notify; 0 means no goal
	redis       bool     // record a server, and do not record its benchmark
}

// time returns the time of a workload from the times of several runs. Mostly it is the shortest time, because nothing
// else has delayed that run. A server and its clients delay each other, depending on the scheduler. For them it is the
// median of more runs.
func (w *recordedWork) time(took []time.Duration) time.Duration {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	if w.redis {
		return took[len(took)/2]
	}
	return took[0]
}

// rounds returns how often the workload runs.
func (w *recordedWork) rounds(e effort) int {
	if w.redis && e.Judge {
		return 15
	}
	return max(3, e.Denials/4)
}

var recordedWorks = []recordedWork{
	{name: "getppid", root: 1.8},
	{name: "find", args: []string{"find", "/usr/lib", "/usr/include"}, root: 1.8, other: 1.8},
	{name: "tar", args: []string{"sh", "-c", "tar cf - /usr/include | cat >/dev/null"}, other: 1.6},
	{name: "gcc", args: []string{"sh", "-c", "for i in 1 2 3; do gcc main.c -o main; done"}, root: 1.3, other: 1.3},
	{name: "redis", redis: true, root: 1 / 0.85, other: 1 / 0.95},
}

// run measures the workload's time. way is a command that runs another command: here it runs the workload.
func (w *recordedWork) run(self, dir string, way []string) (time.Duration, error) {
	if w.redis {
		return timedRedis(self, dir, way)
	}
	return timed(dir, slices.Concat(way, []string{self, "-timed"}, w.args))
}

// here reports whether the workload's programs are installed.
func (w *recordedWork) here() bool {
	if !w.redis {
		return true
	}
	_, err := exec.LookPath("redis-benchmark")
	return err == nil
}

// recordings measures each workload alone, recorded by each back end, and under strace, alternately. The
// workload measures its own time, inside, so the time for the launch and for loading the programs of bpf does not
// count. strace runs only once.
func recordings(e effort) error {
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
	record := func(backend string) []string {
		return []string{filepath.Join(filepath.Dir(self), "cordon"), "record", "-o", filepath.Join(dir, "out.rec"), "--backend", backend, "--rw", dir, "--ro", self, "--"}
	}
	ways := []struct {
		name string
		args []string
	}{{"alone", nil}, {"bpf", record("bpf")}, {"notify", record("notify")}, {"strace -f", []string{"strace", "-f", "-o", "/dev/null"}}}
	fmt.Printf("| recorded | alone, ms | bpf | notify | strace -f |\n|---|---:|---:|---:|---:|\n")
	for _, w := range recordedWorks {
		if !w.here() {
			fmt.Printf("| %s | not installed | – | – | – |\n", w.name)
			continue
		}
		var took [4][]time.Duration
		for round := range w.rounds(e) {
			for i, way := range ways {
				if way.name == "strace -f" && round > 0 || way.name == "bpf" && os.Getuid() != 0 {
					continue
				}
				d, err := w.run(self, dir, way.args)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", w.name, way.name, err)
				}
				took[i] = append(took[i], d)
			}
		}
		var best [4]time.Duration
		for i := range took {
			best[i] = w.time(took[i])
		}
		ratio := func(i int) string {
			if best[i] == 0 {
				return "–"
			}
			return strconv.FormatFloat(float64(best[i])/float64(best[0]), 'f', 2, 64)
		}
		fmt.Printf("| %s | %.1f | %s | %s | %s |\n", w.name, float64(best[0].Microseconds())/1000, ratio(1), ratio(2), ratio(3))
		if e.Judge && (w.root > 0 && float64(best[1]) > w.root*float64(best[0]) || w.other > 0 && float64(best[2]) > w.other*float64(best[0])) {
			err = errors.Join(err, fmt.Errorf("%s: asked are %.2f (bpf) and %.2f (notify), 0 for nothing", w.name, w.root, w.other))
		}
	}
	return err
}

// timed runs a command that prints how long its work took, and returns that time.
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

// timedWork is the main function of this program inside the recording.
func timedWork(args []string) error {
	took := time.Duration(0)
	if len(args) == 0 {
		took = timedCalls()
	} else {
		start := time.Now()
		if err := exec.Command(args[0], args[1:]...).Run(); err != nil {
			return err
		}
		took = time.Since(start)
	}
	fmt.Print(took.Nanoseconds())
	return nil
}

func timedCalls() (shortest time.Duration) {
	runtime.LockOSThread()
	for range recordedPieces {
		start := time.Now()
		for range recordedCalls {
			_, _, _ = unix.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
		}
		if d := time.Since(start); shortest == 0 || d < shortest {
			shortest = d
		}
	}
	return shortest
}

// redisServer is the server in the package redis-tools. The package contains the server under the name of the program
// that checks its files.
const redisServer = "redis-check-rdb"

// redisRequests is how many requests of each kind the benchmark makes.
const redisRequests = 50_000

// timedRedis runs a server inside the command way, and returns the time of a benchmark outside. The server listens only
// on a socket in dir.
func timedRedis(self, dir string, way []string) (time.Duration, error) {
	socket := filepath.Join(dir, "redis.sock")
	args := slices.Concat(way, []string{self, "-redis", socket})
	server := exec.Command(args[0], args[1:]...)
	server.Dir = dir
	if err := server.Start(); err != nil {
		return 0, err
	}
	defer func() {
		_ = exec.Command("redis-cli", "-s", socket, "shutdown", "nosave").Run() // if this fails, the server is killed
		done := time.AfterFunc(10*time.Second, func() { _ = server.Process.Kill() })
		_ = server.Wait() // it makes no difference how it ends
		done.Stop()
		os.Remove(socket)
	}()
	for range 500 {
		if exec.Command("redis-cli", "-s", socket, "ping").Run() == nil {
			start := time.Now()
			err := exec.Command("redis-benchmark", "-s", socket, "-q", "-t", "set,get", "-n", strconv.Itoa(redisRequests)).Run()
			return time.Since(start), err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return 0, errors.New("redis does not answer")
}

// serveRedis becomes the server.
func serveRedis(socket string) error {
	path, err := exec.LookPath(redisServer)
	if err != nil {
		return err
	}
	return unix.Exec(path, []string{"redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--loglevel", "warning"}, os.Environ())
}
