package host

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/paths"
	"cordon/sandbox/ledger"
)

// StatePath returns the path of this user's state directory: /run/cordon for root, otherwise cordon in XDG_RUNTIME_DIR
// or, if that is not set, in /run/user/UID. It returns "" if XDG_RUNTIME_DIR is not absolute, or if /run/user/UID is
// needed and does not exist.
func StatePath(getenv func(string) string) string {
	uid := os.Getuid()
	if uid == 0 {
		return "/run/cordon"
	}
	if dir := getenv("XDG_RUNTIME_DIR"); dir != "" {
		if !strings.HasPrefix(dir, "/") {
			return ""
		}
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			dir = real
		}
		return paths.Join(paths.Clean(dir), "cordon")
	}
	dir := "/run/user/" + strconv.Itoa(uid)
	if i, err := os.Lstat(dir); err != nil || !i.IsDir() {
		return ""
	}
	return dir + "/cordon"
}

// TrustedState returns an error if the caller's XDG_RUNTIME_DIR leads to a state directory that a sandbox could write
// to, because its entries say which processes and cgroups cordon kills. No sandbox can reach the default directories.
func TrustedState(path string) error {
	uid := os.Getuid()
	if uid == 0 || path == "/run/user/"+strconv.Itoa(uid)+"/cordon" {
		return nil
	}
	return ledger.Reached(ledger.Places(os.Getenv), path)
}

// RuntimeDirRemedy is the remedy if there is no usable state directory.
const RuntimeDirRemedy = "set XDG_RUNTIME_DIR to a directory of your own with mode 0700, on a local file system, and to the same one for every command"

// MakeStateDirs makes the state directories before a task can make them. If it cannot make one, a task of this user
// cannot either, or hideState refuses to start.
func MakeStateDirs(h *Host) {
	for _, path := range h.StateDirs() {
		if unix.Mkdir(path, 0o700) == nil { // usually it already exists
			_ = unix.Chmod(path, 0o700) // whatever the umask is
		}
	}
}

// StateDirs returns the directories that may hold the user's state: the one in the present XDG_RUNTIME_DIR, and the
// default one, which a command uses if that variable is not set.
func (h *Host) StateDirs() []string {
	usual := "/run/cordon"
	if h.UID != 0 {
		usual = "/run/user/" + strconv.Itoa(h.UID) + "/cordon"
	}
	if h.State == "" || h.State == usual {
		return []string{usual}
	}
	return []string{h.State, usual}
}
