package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// nameJoined is the row of a program that is started in a running sandbox.
const nameJoined = "cordon exec, the same sandbox, running"

// maxJoined limits the time of exec. It is a multiple of the time of run.
const maxJoined = 1.0

// joined starts the sandbox that exec joins. It returns the sandbox's name, and a function that ends the sandbox.
func joined(dir string) (name string, end func(), err error) {
	state := filepath.Join(os.Getenv("HOME"), "state") // an ordinary user may have no XDG_RUNTIME_DIR; root ignores it
	if err := os.MkdirAll(state, 0o700); err != nil {
		return "", nil, err
	}
	if err := os.Setenv("XDG_RUNTIME_DIR", state); err != nil {
		return "", nil, err
	}
	name = "bench-" + strconv.Itoa(os.Getpid())
	out, err := exec.Command(dir+"/cordon", "run", "--detach", "--rm", "--name", name, "--", "sleep", "3600").CombinedOutput()
	if err != nil {
		return "", nil, fmt.Errorf("cordon run --detach: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return name, func() { _ = exec.Command(dir+"/cordon", "rm", "-f", name).Run() }, nil
}

func (f *figures) joinedCheck() check {
	return check{"cordon exec against cordon run", f.against(nameJoined, nameCordon), maxJoined, ratio}
}
