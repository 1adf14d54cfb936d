package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// TestNothingAtInit checks that no package of this module runs code before main, because every launch would pay for it.
// The Go runtime reports each package that has code to run. A map in a global variable, or a call, needs such code. An
// array, a slice of constants and errors.New do not, because the linker lays them out.
func TestNothingAtInit(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "cordon")
	build := exec.Command("go", "build", "-o", bin, "./cmd/cordon")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	version := exec.Command(bin, "version")
	version.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	out, err := version.CombinedOutput()
	if err != nil || !regexp.MustCompile(`(?m)^init os `).Match(out) {
		t.Fatalf("no trace: %v\n%s", err, out)
	}
	for _, line := range regexp.MustCompile(`(?m)^init (cordon/|main ).*`).FindAllString(string(out), -1) {
		t.Errorf("%s: leave it to a switch, an array, or a sync.Once", line)
	}
}
