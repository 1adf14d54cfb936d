package attacks

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"cordon/tests/scratch"
)

// These variables belong to all tests. main sets them before any test runs.
var (
	base       string // a directory that ordinary users can reach, removed at the end
	cordonBin  string
	probeBin   string // the probe, linked statically
	dynamicBin string // the same program, dynamically linked
	bombBin    string // linked statically
	bitsBin    string // linked statically
	races      = 100  // how many launches are tried for each attack that is a race; CORDON_ATTACKS_RACES
	moments    = 50   // at how many moments a launcher is killed
	slow       = 1    // how many times slower than usual the machine is: CORDON_SLOW
)

func TestMain(m *testing.M) {
	code, err := setUp(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "attacks:", err)
		code = 1
	}
	os.Exit(code)
}

// fewerRaces bounds the launches of each race for one test. The code that a race attacks is that of TestMatrix, which
// tries it more often.
func fewerRaces(t *testing.T) {
	before := races
	races = min(races, 20)
	t.Cleanup(func() { races = before })
}

func setUp(m *testing.M) (int, error) {
	var err error
	if n := os.Getenv("CORDON_ATTACKS_RACES"); n != "" {
		if races, err = strconv.Atoi(n); err != nil || races < 1 {
			return 1, fmt.Errorf("CORDON_ATTACKS_RACES: %q is not a number of launches", n)
		}
	}
	if n, err := strconv.Atoi(os.Getenv("CORDON_SLOW")); err == nil && n > 1 {
		slow = n
	}
	flag.Parse()
	if testing.Short() {
		races, moments = min(races, 5), 10
	}
	// The directory is not in /tmp, because profiles mount their own /tmp.
	if base, err = scratch.Dir("/var/tmp", "attacks"); err != nil {
		return 1, err
	}
	defer os.RemoveAll(base)
	if err := os.Chmod(base, 0o755); err != nil {
		return 1, err
	}
	probeBin, dynamicBin = filepath.Join(base, "probe"), filepath.Join(base, "probe-dynamic")
	source := filepath.Join("testdata", "probe", "probe.c")
	if err := build("gcc", "-O1", "-Wall", "-Werror", "-static", "-o", probeBin, source); err != nil {
		return 1, err
	}
	if err := build("gcc", "-O1", "-Wall", "-Werror", "-o", dynamicBin, source); err != nil {
		return 1, err
	}
	bombBin = filepath.Join(base, "bomb")
	if err := build("gcc", "-O1", "-Wall", "-Werror", "-static", "-o", bombBin, filepath.Join("testdata", "bomb.c")); err != nil {
		return 1, err
	}
	bitsBin = filepath.Join(base, "bits")
	if err := build("gcc", "-O1", "-Wall", "-Werror", "-static", "-pthread", "-o", bitsBin, filepath.Join("testdata", "bits.c")); err != nil {
		return 1, err
	}
	if cordonBin, err = binary(); err != nil {
		return 1, err
	}
	defer endVictims()
	return m.Run(), nil
}

// binary makes a copy of the binary under attack, so that a test that damages the copy damages nothing else.
func binary() (string, error) {
	to := filepath.Join(base, "cordon")
	if from := os.Getenv("CORDON_BIN"); from != "" {
		return to, build("install", "-m", "755", from, to)
	}
	os.Setenv("CGO_ENABLED", "0") // static, like the shipped binary
	return to, build("go", "build", "-ldflags", "-E cordon/sandbox/internal/child.entry", "-o", to, "../../cmd/cordon")
}

func build(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}
