package host

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/paths"
	"cordon/sandbox/ledger"
)

// StatePath returns the path of this user's state directory. For root it is /run/cordon. For other users it is the
// first usable one of: cordon in XDG_RUNTIME_DIR, cordon in /run/user/UID, and [ledger.StatePlace] in XDG_STATE_HOME or
// ~/.local/state. It skips a directory that does not exist or belongs to another user, as XDG_RUNTIME_DIR does after
// su(1). It returns "" if no directory is usable.
func StatePath(getenv func(string) string) string {
	uid := os.Getuid()
	if uid == 0 {
		return "/run/cordon"
	}
	for _, dir := range [...]string{getenv("XDG_RUNTIME_DIR"), "/run/user/" + strconv.Itoa(uid)} {
		if !strings.HasPrefix(dir, "/") || !ownDir(dir, uid) {
			continue
		}
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			dir = real
		}
		return paths.Join(paths.Clean(dir), "cordon")
	}
	if p := ledger.StatePlace(getenv); p != nil {
		return p.State()
	}
	return ""
}

// ownDir reports whether a path leads to a directory that belongs to the user.
func ownDir(path string, uid int) bool {
	i, err := os.Stat(path)
	if err != nil || !i.IsDir() {
		return false
	}
	st, ok := StatOf(i)
	return ok && int(st.Uid) == uid
}

// TrustedState returns an error if the caller's environment leads to a state directory that a sandbox could write to.
// Such a directory is dangerous, because its entries say which processes and cgroups cordon kills. No sandbox can reach
// the default directories or the records of what sandboxes could write.
func TrustedState(path string) error {
	uid := os.Getuid()
	if uid == 0 || path == "/run/user/"+strconv.Itoa(uid)+"/cordon" {
		return nil
	}
	places := ledger.Places(os.Getenv)
	if i := slices.IndexFunc(places, func(p ledger.Place) bool { return p.State() == path }); i >= 0 && places[i].Fixed {
		return nil
	}
	return ledger.Reached(places, path)
}

// RuntimeDirRemedy is the remedy if there is no usable state directory.
const RuntimeDirRemedy = "set XDG_RUNTIME_DIR to a directory of your own with mode 0700, on a local file system, and to the same one for every command"

// MakeStateDirs makes the state directories before a task can make them. If it cannot make a directory, either a task
// of this user cannot make it either, or hideState refuses to start.
func MakeStateDirs(h *Host) {
	for _, path := range h.StateDirs() {
		if unix.Mkdir(path, 0o700) == nil { // usually it already exists
			_ = unix.Chmod(path, 0o700) // because the umask may have removed permissions
		}
	}
}

// MakeStateRecords makes the parent of a state directory that is below the records of what sandboxes could write.
func MakeStateRecords(path string) error {
	for _, p := range ledger.Places(os.Getenv) {
		if p.State() == path {
			return p.Make()
		}
	}
	return nil
}

// StateDirs returns the directories that may hold the user's state. One is in the present XDG_RUNTIME_DIR. The other is
// the default directory, which a command uses if that variable is not set. StateDirs leaves out a state directory below
// the records, because every sandbox hides the records.
func (h *Host) StateDirs() []string {
	usual := "/run/cordon"
	if h.UID != 0 {
		usual = "/run/user/" + strconv.Itoa(h.UID) + "/cordon"
	}
	if h.State == "" || h.State == usual || h.StateInRecords() {
		return []string{usual}
	}
	return []string{h.State, usual}
}

// StateInRecords reports whether the state directory is below the records of what sandboxes could write.
func (h *Host) StateInRecords() bool {
	return slices.ContainsFunc(h.Records, func(p ledger.Place) bool { return p.State() == h.State })
}
