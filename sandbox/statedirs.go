package sandbox

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// makeStateDirs makes the state directories before a task could. If one cannot be made, no task of this user can make it
// either, or hideState refuses.
func makeStateDirs(h *Host) {
	for _, path := range h.stateDirs() {
		_ = unix.Mkdir(path, 0o700) // it is there already, mostly
	}
}

// stateDirs returns the directories that cordon takes for the user's state: the one in XDG_RUNTIME_DIR now, and the one that
// a command takes if that is not set.
func (h *Host) stateDirs() []string {
	usual := "/run/cordon"
	if h.UID != 0 {
		usual = "/run/user/" + strconv.Itoa(h.UID) + "/cordon"
	}
	if h.State == "" || h.State == usual {
		return []string{usual}
	}
	return []string{h.State, usual}
}
