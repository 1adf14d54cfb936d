// Command bench measures the cost of a launch, as ratios within one run. It compares cordon with bubblewrap, which
// makes the same namespaces and has no filter, and with a straight-line C program that builds the same sandbox
// (floor.c). docs/performance.md explains the method and contains the table; `make bench` runs this command.
//
// If root starts it, it measures as root and, in a copy of itself, as an ordinary user.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"cordon/tests/scratch"
)

// An effort says how long to measure, and whether to judge the ratios.
type effort struct {
	Turns       int // runs of each command
	Searches    int // runs in a large tree
	Tree        int // how many names the tree has
	Binds       int
	Filters     int  // rounds of the comparison with libseccomp
	Denials     int  // rounds of calls in a sandbox that reports denied calls, and in one that does not
	BubbleBinds bool // also measure bubblewrap's binds, which takes at least 16 s
	Bombs       int  // measurements of a sandbox while a bomb goes off in another, for each bomb and profile
	BombTime    time.Duration
	Judge       bool // a ratio that misses its goal is an error
}

var (
	full  = effort{Turns: 1000, Searches: 20, Tree: treeNames, Binds: 2000, Filters: 60, Denials: 20, Bombs: 5, BombTime: 2 * time.Second, BubbleBinds: true, Judge: true}
	short = effort{Turns: 60, Searches: 2, Tree: 10_000, Binds: 2000, Filters: 5, Denials: 3, Bombs: 1, BombTime: 300 * time.Millisecond}
)

// nobody is the ordinary user as whom root also measures.
const nobody = 65534

const document = "docs/performance.md"

func main() {
	quick := flag.Bool("short", false, "measure briefly and judge nothing")
	write := flag.Bool("write", false, "put the table into "+document)
	dir := flag.String("measure", "", "measure as this user, in `DIR`, and print JSON (used by itself)")
	calls := flag.Bool("calls", false, "measure calls in this sandbox, and print JSON (used by itself)")
	span := flag.Duration("work", 0, "work for so long, and print how fast (used by itself)")
	bomb := flag.String("bomb", "", "take more than there is of `WHAT` (used by itself)")
	recorded := flag.Bool("record", false, "measure what cordon record costs, as this user, and nothing else")
	attached := flag.Bool("attach", false, "measure how cordon record begins with what runs already, as root, and nothing else")
	audited := flag.Bool("audit", false, "measure what cordon audit costs, as this user, and nothing else")
	redis := flag.String("redis", "", "become a redis that listens at `SOCKET` (used by itself)")
	inside := flag.Bool("timed", false, "time the command that follows, or calls (used by itself)")
	flag.Parse()
	e := full
	if *quick {
		e = short
	}
	err := error(nil)
	switch {
	case *span > 0:
		err = doWork(*span)
	case *bomb != "":
		err = doBomb(*bomb)
	case *redis != "":
		err = serveRedis(*redis)
	case *inside:
		err = timedWork(flag.Args())
	case *recorded:
		err = errors.Join(attaching(e), recordings(e))
	case *attached:
		err = attaching(e)
	case *audited:
		err = audits(e)
	case *calls:
		err = measureCalls()
	case *dir != "":
		err = measureAs(*dir, e)
	default:
		err = run(e, *write)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures as every available user, prints the table, and returns an error if a goal was missed.
func run(e effort, write bool) error {
	dir, err := prepare(e)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	users := []int{os.Getuid()}
	if users[0] == 0 {
		users = append(users, nobody)
	}
	on := machine() // before the measurement makes it busy
	var all []*figures
	for _, uid := range users {
		f, err := spawn(dir, uid, e)
		if err != nil {
			return fmt.Errorf("as uid %d: %w", uid, err)
		}
		all = append(all, f)
	}
	filters, err := measureFilters(e)
	if err != nil {
		return err
	}
	text := format(on, all, filters, e)
	fmt.Print(text)
	if write {
		if err := insert(document, text); err != nil {
			return err
		}
	}
	missed := verdict(all, filters)
	if missed != nil && !e.Judge { // a few runs on a shared machine only show that the measurements work
		fmt.Fprintln(os.Stderr, missed)
		return nil
	}
	return missed
}

// prepare makes a directory that every user can read. It is outside /tmp, which is empty in the default profile. In it
// each user has a home, home-UID, with a working directory.
func prepare(e effort) (string, error) {
	dir, err := scratch.Dir("/var/tmp", "bench")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	for _, name := range []string{"cordon", "floor", "bench"} {
		text, err := os.ReadFile(filepath.Join(filepath.Dir(self), name))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o755); err != nil {
			return "", err
		}
	}
	programs := map[string]string{"cordon": filepath.Join(dir, "cordon"), "floor": filepath.Join(dir, "floor")}
	if bwrap, err := exec.LookPath("bwrap"); err == nil {
		programs["bwrap"] = bwrap
	}
	return dir, errors.Join(makeCopies(dir, programs), makeBinds(dir, e.Binds), makeImported(dir))
}

// spawn measures in a separate process that belongs to uid.
func spawn(dir string, uid int, e effort) (*figures, error) {
	home := filepath.Join(dir, fmt.Sprint("home-", uid))
	work := filepath.Join(home, "work")
	if err := os.MkdirAll(work, 0o755); err != nil {
		return nil, err
	}
	for _, path := range []string{home, work} {
		if err := os.Chown(path, uid, -1); err != nil {
			return nil, err
		}
	}
	args := []string{"-measure", dir}
	if e == short {
		args = append(args, "-short")
	}
	cmd := exec.Command(filepath.Join(dir, "bench"), args...)
	cmd.Dir = work
	cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8"}
	cmd.Stderr = os.Stderr
	if os.Getuid() == 0 {
		// firejail leaves mounts behind. They disappear together with this namespace.
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Unshareflags: syscall.CLONE_NEWNS,
			Credential:   &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)},
		}
	}
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	f := new(figures)
	return f, json.Unmarshal(out, f)
}

// measureAs is the main function of the copy: it measures everything for one user.
func measureAs(dir string, e effort) error {
	f := &figures{UID: os.Getuid()}
	err := errors.Join(f.launches(dir, e), f.compile(), f.binds(dir, e), f.calls(dir), f.search(dir, e), f.denials(dir, e), f.besideBombs(dir, e))
	if err == nil && f.UID == 0 { // only root may read smaps_rollup of a process that is not dumpable
		err = f.memory(dir)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(f)
}

// These lines enclose the table in the document.
const (
	begin = "<!-- begin: make bench ARGS=-write -->\n"
	end   = "<!-- end -->\n"
)

// insert replaces the text between the markers of the file at path.
func insert(path, text string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	head, rest, found := bytes.Cut(old, []byte(begin))
	_, tail, closed := bytes.Cut(rest, []byte(end))
	if !found || !closed {
		return fmt.Errorf("%s: the lines %q and %q are not there", path, begin, end)
	}
	return os.WriteFile(path, bytes.Join([][]byte{head, []byte(begin), []byte(text), []byte(end), tail}, nil), 0o644)
}
