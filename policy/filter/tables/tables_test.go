package tables

import (
	"os/exec"
	"testing"
)

// TestGenerated fails when golang.org/x/sys has a call that gen/calls.txt or the groups do not place, and when the
// committed tables are not what the generator writes.
func TestGenerated(t *testing.T) {
	out, err := exec.Command("go", "run", "./gen", "-check").CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
