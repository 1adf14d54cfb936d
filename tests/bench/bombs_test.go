package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cordon/tests/scratch"
)

// TestBesideBombs lets every bomb go off in every profile, and checks that each ends by its limit. It does not judge
// how much slower another sandbox becomes; `make bench` does.
func TestBesideBombs(t *testing.T) {
	from := os.Getenv("CORDON_BIN")
	if from == "" || os.Getuid() != 0 {
		t.Skip("it takes CORDON_BIN, and cgroups, which are root's")
	}
	dir, err := scratch.Dir("/var/tmp", "bombs") // not /tmp, because profiles mount their own
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for _, c := range []*exec.Cmd{
		exec.Command("install", "-m", "755", from, filepath.Join(dir, "cordon")),
		exec.Command("go", "build", "-o", filepath.Join(dir, "bench"), "."),
	} {
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v: %s", c.Args, err, out)
		}
	}
	f := &figures{}
	if err := f.besideBombs(dir, effort{Bombs: 1, BombTime: 200 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	f.formatBombs(&b)
	t.Log(b.String())
	if len(f.bombChecks()) != len(bombs)*len(bombProfiles) || !strings.Contains(b.String(), "| memory | judge | ") {
		t.Error(b.String())
	}
}

func TestSlowdown(t *testing.T) {
	c := bombCost{Alone: []float64{100, 100, 100}, Beside: []float64{50, 95, 90}}
	if got := c.slowdown(); got < 1.11 || got > 1.112 {
		t.Errorf("%v", got)
	}
	f := figures{Bombs: []bombCost{{Profile: "p", Kind: "k", Alone: []float64{100}, Beside: []float64{89}}}}
	if l := f.bombChecks(); len(l) != 1 || l[0].got <= l[0].most {
		t.Errorf("%+v", l)
	}
}
