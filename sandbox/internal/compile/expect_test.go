package compile

import (
	"testing"

	"cordon/sandbox/internal/proc"
)

// After execve has released the old memory, and before it sets the new credentials, the task seems to keep what it is
// about to lose.
func TestAmidExec(t *testing.T) {
	const admin = 1 << 21
	user := Compilation{Keep: admin, IDs: identity{InUID: 1000}}
	root := Compilation{Keep: admin}
	raised := Compilation{Keep: admin, Ambient: admin, IDs: identity{InUID: 1000}}
	none := Compilation{IDs: identity{InUID: 1000}}
	for _, tt := range []struct {
		name string
		c    *Compilation
		held uint64
		want bool
	}{
		{"a user's, before", &user, admin, true},
		{"a user's, behind", &user, 0, false},
		{"another than it kept", &user, admin | 1, false},
		{"root's, which stay", &root, admin, false},
		{"ambient ones, which stay", &raised, admin, false},
		{"none", &none, 0, false},
	} {
		if got := tt.c.AmidExec([]byte("Name:\ttrue\nCapPrm:\t" + proc.Hex16(tt.held) + "\n")); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
