package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"cordon/policy"
	"cordon/profiles"
	"cordon/sandbox"
)

// profile is the profile of these examples: the host's tree is read-only, /tmp is the program's own, there is no
// network, no capability, and none of the calls that mount things. The examples need a profile that works from any
// working directory, and on a machine without Landlock.
func profile() *policy.Profile {
	return &policy.Profile{
		Name:   "example",
		Root:   policy.Root{Kind: policy.RootHost},
		Mounts: []policy.Mount{{Kind: policy.MountTmpfs, Target: "/tmp", Size: 1 << 20}},
		Env:    policy.Env{Set: []policy.EnvVar{{Name: "PATH", Value: "/usr/bin:/bin"}}},
		Syscalls: policy.Syscalls{
			Default: "errno(EPERM)",
			Allow:   []policy.SyscallItem{{Name: "@system-service"}},
			Deny:    []policy.SyscallItem{{Name: "@mount"}},
		},
		Missing: []policy.MissingLayer{{Layer: policy.LayerLandlock}},
	}
}

// The report says how the program ended, and what the kernel enforced.
func ExampleCommand() {
	cmd := sandbox.Command(profile(), "sh", "-c", "echo pid $$ on $(hostname); echo x 2>/dev/null >/usr/x || echo read-only; exit 3")
	cmd.Stdout = os.Stdout
	err := cmd.Run()
	var exit *sandbox.ExitError
	if !errors.As(err, &exit) {
		fmt.Println("it did not run, or it ended well:", err)
		return
	}
	fmt.Println(exit, exit.ExitCode())
	for _, e := range exit.Report.Enforced {
		if e.Layer == policy.LayerCaps {
			fmt.Println(e.Found)
		}
	}
	// Output:
	// pid 2 on cordon
	// read-only
	// exit status 3 3
	// CapBnd=0000000000000000
	// CapPrm=0000000000000000
	// CapEff=0000000000000000
	// CapInh=0000000000000000
	// CapAmb=0000000000000000
}

func ExampleCmd_Output() {
	cmd := sandbox.Command(profile(), "tr", "a-z", "A-Z")
	cmd.Stdin = strings.NewReader("untrusted text\n")
	out, err := cmd.Output()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s", out)
	// Output: UNTRUSTED TEXT
}

// A context that is done kills every process of the sandbox.
func ExampleCommandContext() {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	err := sandbox.CommandContext(ctx, profile(), "sh", "-c", "sleep 60 & sleep 60").Run()
	fmt.Println(err, ctx.Err())
	// Output: signal: killed context deadline exceeded
}

func ExampleCmd_StdoutPipe() {
	cmd := sandbox.Command(profile(), "sh", "-c", "echo 7 apples")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := cmd.Start(); err != nil {
		fmt.Println(err)
		return
	}
	var n int
	var what string
	if _, err := fmt.Fscan(stdout, &n, &what); err != nil {
		fmt.Println(err)
	}
	if err := cmd.Wait(); err != nil {
		fmt.Println(err)
	}
	fmt.Println(n, what)
	// Output: 7 apples
}

// The error says why a program was not started.
func ExampleLookupError() {
	err := sandbox.Command(profile(), "no-such-program").Run()
	var lookup *sandbox.LookupError
	fmt.Println(errors.As(err, &lookup), errors.Is(err, exec.ErrNotFound), lookup.Code)
	// Output: true true 127
}

// Profiles are made of shipped ones, of files, and of text.
func Example_profile() {
	p, err := profiles.Parse("tool.yaml", []byte("extends: [strict]\nlimits: {memory: 256MiB}\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Limits.Memory.V>>20, "MiB,", p.Network.Mode == policy.NetworkHost)
	// Output: 256 MiB, false
}
