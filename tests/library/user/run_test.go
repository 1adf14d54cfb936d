// Package user shows programs that run other programs in sandboxes.
package user

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"cordon/profiles"
	"cordon/sandbox"
)

// To give a program the caller's terminal or files, run it as with os/exec.
func Example_run() {
	profile, err := profiles.Load("default")
	if err != nil {
		log.Fatal(err)
	}
	cmd := sandbox.Command(profile, "echo", "hello from a sandbox")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(cmd.Report.Exit)
	// Output:
	// hello from a sandbox
	// 0
}

// The caller can capture what a program writes, and learns how it ended.
func Example_captured() {
	profile, err := profiles.Load()
	if err != nil {
		log.Fatal(err)
	}
	cmd := sandbox.Command(profile, "sh", "-c", "tr a-z A-Z; echo not everything >&2; exit 3")
	cmd.Stdin = strings.NewReader("some text\n")
	out, err := cmd.Output()
	var exit *sandbox.ExitError
	if !errors.As(err, &exit) {
		log.Fatal(err)
	}
	fmt.Printf("%s%s%v\n", out, exit.Stderr, exit)
	// Output:
	// SOME TEXT
	// not everything
	// exit status 3
}

// The report names the limit that ended a run.
func Example_limits() {
	profile, err := profiles.Parse("job.yaml", []byte("extends: [default]\nlimits: {wall: 200ms, pids: 50}\n"))
	if err != nil {
		log.Fatal(err)
	}
	err = sandbox.Command(profile, "sleep", "100").Run()
	var exit *sandbox.ExitError
	if !errors.As(err, &exit) {
		log.Fatal(err)
	}
	fmt.Println(exit.Report.Limit, exit.Report.Wall < time.Minute)
	// Output: timeout true
}

// The end of a context ends the sandbox. The program first gets a signal that it can handle.
func Example_context() {
	profile, err := profiles.Load()
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	cmd := sandbox.CommandContext(ctx, profile, "sh", "-c", "trap '' TERM; while :; do sleep 1; done")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	err = cmd.Run()
	fmt.Println(err, ctx.Err())
	// Output: signal: interrupt context deadline exceeded
}
