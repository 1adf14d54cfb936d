package compile

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/sandbox/host"
)

// TestPlaceProgram compares the program that is written by hand with the program that the rules compile to. It tries
// the calls and values that the rules name, and those next to them.
func TestPlaceProgram(t *testing.T) {
	values := []uint64{0, 1, 2, 3, 10, 16, 1 << 31, 1<<32 - 1}
	for _, network := range []policy.NetworkMode{policy.NetworkNone, policy.NetworkHost} {
		for _, abi := range []int{7, 9} {
			c := &Compilation{Profile: &policy.Profile{Namespaces: policy.Namespaces{None: true}, Network: policy.Network{Mode: network}},
				Host: &host.Host{LandlockABI: abi}}
			if err := c.FindArch(); err != nil {
				t.Fatal(err)
			}
			pass := filter.Action{Kind: filter.Allow}
			want, err := filter.Compile(filter.Spec{Default: pass, Unknown: pass, Rules: c.PlaceCalls()}, c.Arch)
			if err != nil {
				t.Fatal(err)
			}
			got := &filter.Program{Insns: c.placeProgram()}
			numbers := []uint32{unix.SYS_READ, unix.SYS_EXECVE, unix.SYS_SOCKET, unix.SYS_SOCKETPAIR, unix.SYS_KILL}
			for _, p := range c.placeCalls() {
				numbers = append(numbers, p.nr)
			}
			denied := 0
			for _, nr := range slices.Compact(numbers) {
				for _, a := range values {
					for _, b := range values {
						d := &filter.Data{Nr: int32(nr), Arch: c.Arch.Audit(), Args: [6]uint64{a, b}}
						x, y := got.Action(d), want.Action(d)
						if x != y {
							t.Fatalf("%s, ABI %d: call %d(%d, %d): %v, want %v", network, abi, nr, a, b, x, y)
						}
						if x != pass {
							denied++
						}
					}
				}
			}
			if denied == 0 {
				t.Error("nothing is denied")
			}
		}
	}
}
