package ledger

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"cordon/sandbox/internal/passwd"

	"golang.org/x/sys/unix"
)

// Error is the error of an operation of the ledger, with advice.
type Error struct {
	Op   string
	Err  error
	Hint string
}

func (e *Error) Error() string { return e.Op + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

const remedy = "cordon records there which directories a sandbox could write: make that directory, or set XDG_STATE_HOME to a directory of your own with mode 0700"

// Place is a directory that may contain records. Base must exist; the launcher makes Below in it.
type Place struct {
	Base, Below string
	Fixed       bool // it does not depend on the environment
}

// Path returns the path of the directory.
func (p Place) Path() string { return filepath.Join(p.Base, p.Below) }

// State returns the path of the state directory of sandboxes in a place. Every sandbox hides the place, so it also
// hides the state directory.
func (p Place) State() string { return filepath.Join(p.Path(), "sandboxes") }

// StatePlace returns the place that holds the state of the current user's sandboxes if the user has no runtime
// directory. It tries XDG_STATE_HOME, the home of the password database and HOME, and returns the first whose base
// exists and belongs to the user. It returns nil if there is none.
func StatePlace(getenv func(string) string) *Place {
	places := Places(getenv)
	named := func(p Place) int {
		if p.Below == "cordon" && p.Base == filepath.Clean(getenv("XDG_STATE_HOME")) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(places, func(a, b Place) int { return named(a) - named(b) })
	for i := range places {
		var st unix.Stat_t
		if p := &places[i]; p.Base != "/var/tmp" && unix.Stat(p.Base, &st) == nil && int(st.Uid) == os.Getuid() {
			return p
		}
	}
	return nil
}

// Make makes the directory of a place, and checks that nobody else can use it.
func (p Place) Make() error {
	fd, err := p.open(true)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// Places returns the places of the current user, in the order in which cordon tries them. The first place does not
// depend on the environment, because a run that cron starts must find the records of a run that a shell has started.
func Places(getenv func(string) string) []Place {
	return PlacesOf(os.Getuid(), passwd.Home(os.Getuid()), getenv)
}

// PlacesOf does what Places does, for another user. home is the user's home directory in the password database, or ""
// if there is none.
func PlacesOf(uid int, home string, getenv func(string) string) []Place {
	const below = ".local/state/cordon"
	var list []Place
	add := func(base, below string, fixed bool) {
		p := Place{filepath.Clean(base), below, fixed}
		same := func(q Place) bool { return q.Path() == p.Path() }
		if filepath.IsAbs(base) && p.Base != "/" && !slices.ContainsFunc(list, same) {
			list = append(list, p)
		}
	}
	if uid == 0 {
		add("/var/lib", "cordon", true)
	} else {
		add(home, below, true)
		if home == "" { // HOME changes less often than XDG_STATE_HOME, and each is read
			add(getenv("HOME"), below, false)
		}
	}
	add(getenv("XDG_STATE_HOME"), "cordon", false)
	add(getenv("HOME"), below, false)
	add("/var/tmp", "cordon-"+strconv.Itoa(uid), false)
	return list
}

const openDir = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC

// open opens the directory of a place, without following links below Base, and checks its owner. If makeIt is set, it
// makes missing directories.
func (p Place) open(makeIt bool) (int, error) {
	fd, err := unix.Open(p.Base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	for name := range strings.SplitSeq(p.Below, "/") {
		if err != nil {
			return -1, p.error(err)
		}
		dir := fd
		if makeIt {
			if err = unix.Mkdirat(dir, name, 0o700); err == nil {
				err = unix.Fchmodat(dir, name, 0o700, 0) // whatever the umask is
			}
		}
		if err == nil || err == unix.EEXIST {
			fd, err = unix.Openat(dir, name, openDir, 0)
		}
		unix.Close(dir)
	}
	if err == nil {
		if err = private(fd); err != nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		return -1, p.error(err)
	}
	return fd, nil
}

func (p Place) error(err error) error {
	return &Error{"record of what sandboxes could write, " + strconv.Quote(p.Path()), err, remedy}
}

// private returns an error if a directory belongs to another user, or if its mode lets others use it.
func private(fd int) error {
	var st unix.Stat_t
	switch err := unix.Fstat(fd, &st); {
	case err != nil:
		return err
	case int(st.Uid) != os.Getuid():
		return foreignError(st.Uid)
	case st.Mode&0o077 != 0:
		return errors.New("it has mode " + strconv.FormatUint(uint64(st.Mode&0o7777), 8) + ": others may use it")
	}
	return nil
}

// foreignError is the error for a directory of another user.
type foreignError uint32

func (e foreignError) Error() string {
	return "it belongs to user " + strconv.FormatUint(uint64(e), 10)
}

// openExisting opens the places that exist. The environment may name a place that belongs to another user (sudo -E) or
// that the caller cannot reach. openExisting skips such a place, because the caller has recorded nothing there.
func openExisting(places []Place) (dirs []int, err error) {
	for _, p := range places {
		fd, err := p.open(false)
		switch {
		case err == nil:
			dirs = append(dirs, fd)
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		case !p.Fixed && (errors.As(err, new(foreignError)) || errors.Is(err, unix.EACCES)):
		case p.Base == "/var/tmp": // any user can make a directory of that name in /var/tmp
		case rootsOwn(p, err):
			if fd, ok := openOuter(); ok {
				dirs = append(dirs, fd)
			}
		default:
			closeAll(dirs)
			return nil, err
		}
	}
	return dirs, nil
}

// rootsOwn reports whether a place belongs to the machine's root, and the caller may not read it, because the caller is
// root only in a user namespace of another user (unshare --map-root-user).
func rootsOwn(p Place, err error) bool {
	return p.Fixed && os.Getuid() == 0 && (errors.Is(err, unix.EACCES) || errors.As(err, new(foreignError))) && outerUser() > 0
}

// openOuter opens the place of the user who is root in the caller's user namespace. That place does not depend on the
// environment either.
func openOuter() (fd int, ok bool) {
	for _, p := range PlacesOf(outerUser(), passwd.Home(outerUser()), func(string) string { return "" }) {
		if fd, err := p.open(false); err == nil && p.Fixed {
			return fd, true
		} else if err == nil {
			unix.Close(fd)
		}
	}
	return -1, false
}

// outerUser returns the user id that root of this user namespace has in the namespace above. It returns 0 if that user
// is root in the namespace above too, and -1 if the id is unknown: user_namespaces(7).
func outerUser() int {
	b, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) == 3 && f[0] == "0" {
			if n, err := strconv.Atoi(f[1]); err == nil {
				return n
			}
		}
	}
	return -1
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// openFirst opens or makes the first available place. If none is available, it returns the error of the first.
func openFirst(places []Place) (int, error) {
	var first error
	for _, p := range places {
		fd, err := p.open(true)
		if err == nil {
			if err = unix.Faccessat(fd, ".", unix.W_OK|unix.X_OK, 0); err == nil {
				return fd, nil
			}
			unix.Close(fd)
			err = p.error(err)
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		first = &Error{"record of what sandboxes could write", errors.New("there is no place for it"), remedy}
	}
	return -1, first
}
