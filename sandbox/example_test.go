package sandbox_test

import (
	"fmt"
	"os"

	"cordon/policy"
	"cordon/sandbox"
)

// A program of the host runs with the host's tree read-only, a /tmp of its own, no network, no capabilities, and
// without the calls that mount things. The profile could as well be read by policy.Parse.
func ExampleCmd() {
	profile := &policy.Profile{
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
	cmd := &sandbox.Cmd{
		Profile: profile,
		Args:    []string{"sh", "-c", "echo pid $$ on $(hostname); echo x 2>/dev/null >/usr/x || echo read-only; exit 3"},
		Stdout:  os.Stdout,
	}
	report, err := cmd.Run()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("exit", report.Exit)
	for _, e := range report.Enforced {
		if e.Layer == policy.LayerCaps {
			fmt.Println(e.Found)
		}
	}
	// Output:
	// pid 2 on cordon
	// read-only
	// exit 3
	// CapBnd=0000000000000000
	// CapPrm=0000000000000000
	// CapEff=0000000000000000
	// CapInh=0000000000000000
	// CapAmb=0000000000000000
}
