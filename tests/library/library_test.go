// Package library runs the examples of the library in a separate module, because users of the library have one.
package library

import (
	"os"
	"os/exec"
	"testing"
)

// TestOtherModule runs the tests of the module in user/, which finds this module by a replace line. Nothing is fetched,
// because that module needs no other modules than this one.
func TestOtherModule(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip(err)
	}
	cmd := exec.Command("go", "test", "-count=1", "./...")
	cmd.Dir = "user"
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=readonly -trimpath", "GOWORK=off", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s(after a change of go.mod: cd tests/library/user && GOFLAGS=-mod=mod go vet ./...)", err, out)
	}
}
