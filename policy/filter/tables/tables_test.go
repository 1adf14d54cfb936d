package tables

import (
	"os/exec"
	"testing"
)

// TestGenerated checks that gen/calls.txt and the groups contain every call of golang.org/x/sys, and that the committed
// tables are what the generator writes.
func TestGenerated(t *testing.T) {
	out, err := exec.Command("go", "run", "./gen", "-check").CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
