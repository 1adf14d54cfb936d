// Command soak launches thousands of sandboxes and looks for what they leave behind. It launches them one after the
// other, many at a time, and hundreds alive at once with limits. It also kills launchers at random moments. `make soak`
// runs it; docs/performance.md contains the figures. It runs only on Linux and needs /proc.
//
// If root starts it, it does everything as root and, in a copy of itself, as an ordinary user.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"cordon/tests/scratch"
)

// size says how many launches each part makes.
type size struct {
	row   int // launches one after the other
	many  int // launches, width at a time
	width int
	alive int // sandboxes alive at once
	kills int // launchers killed
}

var (
	full  = size{row: 10000, many: 10000, width: 16, alive: 500, kills: 1000}
	short = size{row: 300, many: 300, width: 16, alive: 40, kills: 100}
)

// nobody is the ordinary user as whom root also runs soak.
const nobody = 65534

// slow is the longest time that a launch may take on an idle machine.
const slow = 250 * time.Millisecond

func main() {
	quick := flag.Bool("short", false, "do little of each")
	profile := flag.String("profile", "build", "the `PROFILE` of every sandbox")
	inside := flag.String("in", "", "do it as this user with the binary in `DIR` (used by itself)")
	flag.Parse()
	s := full
	if *quick {
		s = short
	}
	var err error
	if *inside != "" {
		err = (&soak{size: s, profile: *profile, dir: *inside}).run()
	} else {
		err = spawnAll(*quick, *profile)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// spawnAll copies the binaries to a place where everybody can run them, and runs itself as each user.
func spawnAll(quick bool, profile string) error {
	users := []int{os.Getuid()}
	if users[0] == 0 {
		users = append(users, nobody)
	}
	for _, uid := range users {
		if err := spawn(uid, quick, profile); err != nil {
			return err
		}
	}
	return nil
}

func spawn(uid int, quick bool, profile string) error {
	dir, err := scratch.Dir("/var/tmp", "soak")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	bin := os.Getenv("CORDON_BIN")
	if bin == "" {
		return fmt.Errorf("CORDON_BIN is not set: it names the binary that is tried")
	}
	for from, to := range map[string]string{self: "soak", bin: "cordon"} {
		text, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, to), text, 0o755); err != nil { //nolint:gosec // a program
			return err
		}
	}
	runtime, work := filepath.Join(dir, "run"), filepath.Join(dir, "work")
	for _, path := range [...]string{runtime, work, dir} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			return err
		}
		if err := os.Chown(path, uid, uid); err != nil {
			return err
		}
	}
	cmd := exec.Command(filepath.Join(dir, "soak"), "-in", dir, "-profile", profile, "-short="+strconv.FormatBool(quick))
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stdout, os.Stderr
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir, "XDG_RUNTIME_DIR=" + runtime, "LANG=C.UTF-8"}
	if uid != os.Getuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	return cmd.Run()
}

// soak is the run of one user.
type soak struct {
	size
	profile string
	dir     string
	wrong   []string // faults that were found
}

func (s *soak) run() error {
	who := "root"
	if os.Getuid() != 0 {
		who = "an ordinary user"
	}
	fmt.Printf("## As %s, profile %s, %d CPUs\n\n", who, s.profile, cpus())
	before, err := look(s.dir)
	if err != nil {
		return err
	}
	s.inARow()
	s.manyAtATime()
	if err := s.manyAlive(); err != nil {
		return err
	}
	s.killed()
	left := before.left(s.dir)
	s.wrong = append(s.wrong, left...)
	if len(left) == 0 {
		fmt.Println("left behind: no process, mount, cgroup, file, pty or descriptor")
	}
	fmt.Println()
	if len(s.wrong) > 0 {
		return fmt.Errorf("as %s:\n  %s", who, strings.Join(s.wrong, "\n  "))
	}
	return nil
}

// cordon returns a command of the binary under test.
func (s *soak) cordon(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.dir, "cordon"), args...)
	cmd.Dir = filepath.Join(s.dir, "work")
	return cmd
}

// launch runs true in a sandbox. It returns how long that took, and how long some process waited for a processor
// meanwhile.
func (s *soak) launch() (took, stalled time.Duration, err error) {
	cmd := s.cordon("run", "-p", s.profile, "--", "true")
	var said strings.Builder
	cmd.Stderr = &said
	busy, begun := stall(), time.Now()
	err = cmd.Run()
	took = time.Since(begun)
	if err != nil {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(said.String()))
	}
	return took, stall() - busy, err
}

func (s *soak) inARow() {
	times := make([]time.Duration, 0, s.row)
	failed, excused, begun := 0, 0, time.Now()
	for range s.row {
		took, stalled, err := s.launch()
		if err != nil {
			if failed++; failed == 1 {
				s.fault("in a row: %v", err)
			}
			continue
		}
		times = append(times, took)
		switch {
		case took <= slow:
		case stalled > took/4: // other programs used the processors
			excused++
		default:
			s.fault("a launch took %v on an idle machine", took)
		}
	}
	s.say("in a row", s.row, failed, times, time.Since(begun))
	if excused > 0 {
		fmt.Printf("%d launches took over %v while others had the processors\n", excused, slow)
	}
}

func (s *soak) manyAtATime() {
	type result struct {
		took time.Duration
		err  error
	}
	work, results := make(chan struct{}), make(chan result)
	for range s.width {
		go func() {
			for range work {
				took, _, err := s.launch()
				results <- result{took, err}
			}
		}()
	}
	begun := time.Now()
	go func() {
		for range s.many {
			work <- struct{}{}
		}
		close(work)
	}()
	var times []time.Duration
	failed := 0
	for range s.many {
		if r := <-results; r.err == nil {
			times = append(times, r.took)
		} else if failed++; failed == 1 {
			s.fault("%d at a time: %v", s.width, r.err)
		}
	}
	s.say(fmt.Sprintf("%d at a time", s.width), s.many, failed, times, time.Since(begun))
}

// say prints one line of figures.
func (s *soak) say(what string, launches, failed int, times []time.Duration, wall time.Duration) {
	if len(times) == 0 {
		s.fault("%s: nothing was launched", what)
		return
	}
	slices.Sort(times)
	at := func(p float64) float64 { return ms(times[min(len(times)-1, int(p*float64(len(times))))]) }
	fmt.Printf("%-16s %6d launches, %d failed, %5.0f a second; p50 %.1f ms, p99 %.1f ms, max %.1f ms\n", what+":", launches, failed,
		float64(len(times))/wall.Seconds(), at(0.5), at(0.99), at(1))
}

// fault records a fault.
func (s *soak) fault(format string, args ...any) {
	s.wrong = append(s.wrong, fmt.Sprintf(format, args...))
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
