package user

import (
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"testing"

	"cordon/policy"
	"cordon/profiles"
	"cordon/sandbox"
)

// A profile is a value. A program can change it before it uses it.
func Example_profile() {
	profile, err := profiles.Load("strict")
	if err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o777); err != nil { // root's task runs as another user
		log.Fatal(err)
	}
	profile.Mounts = append(profile.Mounts, policy.Mount{Kind: policy.MountBind, Source: dir, Target: dir, Write: true})
	profile.Process.Workdir = dir
	if err := policy.Validate(profile); err != nil {
		log.Fatal(err)
	}
	if err := sandbox.Command(profile, "sh", "-c", "echo done >result").Run(); err != nil {
		log.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "result"))
	fmt.Printf("%s%v\n", text, err)
	// Output:
	// done
	// <nil>
}

// TestErrors shows the errors of a start, each with the facts that a caller may need.
func TestErrors(t *testing.T) {
	if _, err := profiles.Load("no-such-profile"); err == nil {
		t.Error("a profile that is not there")
	}
	var wrong policy.Errors
	if _, err := profiles.Parse("wrong.yaml", []byte("limits: {memory: many}\n")); !errors.As(err, &wrong) || wrong[0].Pos.Line != 1 {
		t.Errorf("%v", err)
	}
	profile, err := profiles.Load()
	if err != nil {
		t.Fatal(err)
	}
	var lookup *sandbox.LookupError
	if err := sandbox.Command(profile, "no-such-program").Start(); !errors.As(err, &lookup) || lookup.Code != 127 {
		t.Errorf("%v", err)
	}
}

// TestOwnMemory checks that a change to a profile does not appear when the profile is loaded again.
func TestOwnMemory(t *testing.T) {
	first, err := profiles.Load("default")
	if err != nil {
		t.Fatal(err)
	}
	for i := range first.Mounts {
		first.Mounts[i] = policy.Mount{}
	}
	second, err := profiles.Load("default")
	if err != nil || len(second.Mounts) == 0 || second.Mounts[0].Kind == first.Mounts[0].Kind && second.Mounts[0].Target == "" {
		t.Errorf("%+v %v", second.Mounts, err)
	}
}
