package compile

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"cordon/sandbox/host"
)

// The remedies for a refused id map never name something that the launcher cannot do.
func TestMapHint(t *testing.T) {
	const all = 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID | 1<<unix.CAP_SETFCAP
	for _, tt := range []struct {
		name      string
		permitted uint64
		old       bool
		maps      bool
		out       int
		want, not string
	}{
		{"root, without SETFCAP", all &^ (1 << unix.CAP_SETFCAP), false, true, 0, "leave out user: {host: caller}", "keeps the caller's id"},
		{"root, with none", 0, false, false, 0, "or SETUID and SETGID", "keeps the caller's id"},
		{"an id of its own, unmapped", all, false, true, FirstTaskID, "--host-user caller keeps", "CAP_SETFCAP"},
		{"an id of its own, unmapped, without SETFCAP", all &^ (1 << unix.CAP_SETFCAP), false, true, FirstTaskID, "needs CAP_SETFCAP", "keeps the caller's id"},
		{"an old kernel", 0, true, false, 0, "not mapped", "CAP_SETFCAP"},
	} {
		h := &host.Host{Kernel: [2]int{6, 1}, HostRoot: true, MapsIDs: tt.maps, Permitted: tt.permitted}
		if tt.old {
			h.Kernel = [2]int{5, 10}
		}
		c := &Compilation{Host: h}
		c.IDs.OutUID = tt.out
		why, remedy := c.MapCause()
		if hint := why + "; " + remedy; !strings.Contains(hint, tt.want) || strings.Contains(hint, tt.not) {
			t.Errorf("%s: %s", tt.name, hint)
		}
	}
}
