package state

// This file handles the state directory itself: its path, its owner, and how the launcher makes an entry in it.

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy/phrase"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/proc"
)

// StateDir is an open state directory.
type StateDir struct {
	path string
	root *os.Root
}

// OpenStateDir opens the state directory, and makes it if it does not exist. It returns an error if another user can
// write to it.
func OpenStateDir(path string) (*StateDir, error) {
	if path == "" {
		return nil, &fail.Error{Op: "state directory", Err: errors.New("there is no place for it: no XDG_RUNTIME_DIR or /run/user/" + strconv.Itoa(os.Getuid()) + " and no home directory of yours"), Hint: host.RuntimeDirRemedy}
	}
	failed := func(err error, hint string) (*StateDir, error) {
		return nil, &fail.Error{Op: "state directory " + strconv.Quote(path), Err: err, Hint: hint}
	}
	if err := host.MakeStateRecords(path); err != nil {
		return failed(err, host.RuntimeDirRemedy)
	}
	parent, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return failed(phrase.Cause(err), host.RuntimeDirRemedy)
	}
	if why := unsafeDir(parent, 0o022); why != "" {
		return failed(errors.New("the directory it is in "+why), host.RuntimeDirRemedy)
	}
	switch err := unix.Mkdir(path, 0o700); {
	case err == nil:
		err = unix.Chmod(path, 0o700) // whatever the umask is
		if err != nil {
			return failed(err, host.RuntimeDirRemedy)
		}
	case err != unix.EEXIST:
		return failed(err, host.RuntimeDirRemedy)
	}
	if i, err := os.Lstat(path); err == nil && !i.IsDir() {
		return failed(errors.New("is not a directory, or a symbolic link"), "remove it")
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return failed(phrase.Cause(err), host.RuntimeDirRemedy)
	}
	i, err := root.Stat(".")
	if err == nil && unsafeDir(i, 0o077) != "" {
		err = errors.New(unsafeDir(i, 0o077))
	}
	if err != nil {
		root.Close()
		return failed(phrase.Cause(err), "nobody else may read the directory in which cordon keeps its state: remove it, or chmod 700 it if it is yours")
	}
	if err := host.TrustedState(path); err != nil {
		root.Close()
		return failed(err, "its content may be forged: "+host.RuntimeDirRemedy+", and that no sandbox can write")
	}
	return &StateDir{path, root}, nil
}

// unsafeDir returns the reason why other users can use a directory, or "" if only the caller can. forbidden holds the
// permission bits that others may not have. Root may own the directory, unless forbidden includes the bits for reading.
func unsafeDir(i fs.FileInfo, forbidden fs.FileMode) string {
	st, ok := host.StatOf(i)
	switch uid := os.Getuid(); {
	case !ok:
		return "has no owner"
	case int(st.Uid) != uid && (st.Uid != 0 || forbidden&0o044 != 0):
		return "belongs to user " + strconv.FormatUint(uint64(st.Uid), 10) + ", not to " + strconv.Itoa(uid)
	case i.Mode().Perm()&forbidden != 0:
		return "has mode " + strconv.FormatUint(uint64(i.Mode().Perm()), 8) + ": others may use it"
	}
	return ""
}

// Close closes the directory, but not the entries that were found in it.
func (d *StateDir) Close() { d.root.Close() }

// Path returns the directory's path.
func (d *StateDir) Path() string { return d.path }

// nameError returns an error that says why a sandbox cannot have a name.
func nameError(name, why, hint string) *fail.Error {
	return &fail.Error{Op: "name " + strconv.Quote(name), Err: errors.New(why), Hint: hint}
}

// maxName is the longest name, in bytes.
const maxName = 63

func checkName(name string) error {
	ok := name != "" && len(name) <= maxName
	for i := 0; i < len(name) && ok; i++ {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		ok = letter || i > 0 && (c == '-' || c == '_' || c == '.')
	}
	if ok {
		return nil
	}
	return nameError(name, "not a name", "a name has up to "+strconv.Itoa(maxName)+" letters, digits, and behind the first of them - _ .")
}

// Create makes and locks the entry of a sandbox whose launcher is this process. The caller fills in the fields of s
// that it knows; Create fills in the rest. If two launchers want the same name, one of them gets an error.
func (d *StateDir) Create(s State) (*Entry, error) {
	if s.Name != "" {
		if err := checkName(s.Name); err != nil {
			return nil, err
		}
	}
	if err := s.identify(); err != nil {
		return nil, &fail.Error{Op: "state", Err: err}
	}
	unlock, err := d.exclusive()
	if err != nil {
		return nil, err
	}
	defer unlock()
	names, err := d.names()
	if err != nil {
		return nil, err
	}
	if err := d.free(names, s.Name); err != nil {
		return nil, err
	}
	if s.ID, err = newID(names); err != nil {
		return nil, &fail.Error{Op: "state", Err: err}
	}
	e := &Entry{State: s, dir: d, base: s.base()}
	if err := e.make(); err != nil {
		e.close()
		_ = d.root.RemoveAll("." + e.base)
		return nil, &fail.Error{Op: "state directory " + strconv.Quote(d.path), Err: phrase.Cause(err)}
	}
	return e, nil
}

// identify fills in the fields about this process.
func (s *State) identify() (err error) {
	s.Version, s.Created = stateVersion, time.Now()
	if s.Boot, err = bootID(); err != nil {
		return err
	}
	if s.PIDSpace, err = proc.Readlink("/proc/self/ns/pid"); err != nil {
		return err
	}
	s.Launcher, err = IdentifyProcess(os.Getpid())
	return err
}

func (s *State) base() string {
	if s.Name == "" {
		return s.ID
	}
	return s.ID + "@" + s.Name
}

// free returns an error if another sandbox has the name.
func (d *StateDir) free(names []string, name string) error {
	for _, n := range names {
		id, its, _ := strings.Cut(n, "@")
		if name == "" || its != name {
			continue
		}
		e := nameError(name, "in use by sandbox "+id, "choose another name, or end that sandbox: cordon rm -f "+name)
		if other, err := d.open(n); err == nil {
			if other.ended() != nil {
				e = nameError(name, "in use by sandbox "+id+", which has ended and is still kept", "cordon rm "+name+" removes it")
			}
			other.Close()
		}
		return e
	}
	return nil
}

// newID returns an ID that no other sandbox has: 48 random bits.
func newID(names []string) (string, error) {
	for {
		var b [6]byte
		if _, err := rand.Read(b[:]); err != nil {
			return "", err
		}
		id := hex.EncodeToString(b[:])
		if !slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, id) }) {
			return id, nil
		}
	}
}

// make makes the directory under a hidden name, which other commands ignore. Once the directory is locked and complete,
// make renames it.
func (e *Entry) make() error {
	hidden := "." + e.base
	if err := e.dir.root.Mkdir(hidden, 0o700); err != nil {
		return err
	}
	if err := e.dir.root.Chmod(hidden, 0o700); err != nil { // whatever the umask is
		return err
	}
	var err error
	if e.root, err = e.dir.root.OpenRoot(hidden); err != nil {
		return err
	}
	if e.lock, err = e.root.OpenFile(lockFile, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return err
	}
	if err := e.lock.Chmod(0o600); err != nil {
		return err
	}
	// Space for the Ending is reserved now, so that it can be written even if the file system is full later.
	if _, err := e.lock.Write(make([]byte, endingSize)); err != nil {
		return err
	}
	if err := unix.Flock(int(e.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return err
	}
	if err := e.save(); err != nil {
		return err
	}
	return e.dir.root.Rename(hidden, e.base)
}

// exclusive locks the directory against other processes that make or remove entries. Such processes hold the lock only
// for a moment, unless somebody stops them.
func (d *StateDir) exclusive() (unlock func(), err error) {
	f, err := d.root.OpenFile(lockFile, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = f.Chmod(0o600)
	}
	if err != nil {
		return nil, &fail.Error{Op: "state directory " + strconv.Quote(d.path), Err: phrase.Cause(err)}
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR || time.Now().After(deadline) {
			f.Close()
			return nil, &fail.Error{Op: "lock " + strconv.Quote(paths.Join(d.path, lockFile)), Err: err, Hint: "another cordon has locked it for 5 s: has somebody stopped that process?"}
		}
	}
}

// names returns the names of the entries' directories, sorted by ID.
func (d *StateDir) names() ([]string, error) {
	all, err := fs.ReadDir(d.root.FS(), ".")
	if err != nil {
		return nil, &fail.Error{Op: "state directory " + strconv.Quote(d.path), Err: phrase.Cause(err)}
	}
	var names []string
	for _, i := range all {
		if i.IsDir() && i.Name()[0] != '.' {
			names = append(names, i.Name())
		}
	}
	return names, nil
}

// open opens an entry and reads its state. It returns fs.ErrNotExist if the entry has been removed meanwhile.
func (d *StateDir) open(base string) (*Entry, error) {
	root, err := d.root.OpenRoot(base)
	if err != nil {
		return nil, err
	}
	e := &Entry{dir: d, base: base, root: root}
	if err := e.own(); err != nil {
		e.close()
		return nil, err
	}
	if e.lock, err = openRegular(root, lockFile, os.O_RDWR); err == nil {
		err = e.load()
	}
	if err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

// own refuses a directory that other users can use. The launcher makes each entry with mode 0700, so others cannot use
// it.
func (e *Entry) own() error {
	i, err := e.root.Stat(".")
	if err == nil && unsafeDir(i, 0o077) != "" {
		err = errors.New("its directory " + unsafeDir(i, 0o077))
	}
	return err
}

// load reads state.json.
func (e *Entry) load() error {
	b, err := readRegular(e.root, stateFile)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &e.State); err != nil {
		return err
	}
	if e.State.Version != stateVersion {
		return errors.New("state.json has version " + strconv.Itoa(e.State.Version) + ", and this is version " + strconv.Itoa(stateVersion))
	}
	if e.State.base() != e.base {
		return errors.New("state.json is that of " + strconv.Quote(e.State.base()))
	}
	return nil
}

// maxFile is the largest file of an entry that is read, in bytes. The longest file holds the arguments of a command. In
// JSON these may be six times as long, and are still shorter than maxFile.
const maxFile = 64 << 20

// openRegular opens a file. It refuses a file that is not regular, because opening a FIFO could wait without end.
func openRegular(root *os.Root, name string, flags int) (*os.File, error) {
	f, err := root.OpenFile(name, flags|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if i, err := f.Stat(); err != nil || !i.Mode().IsRegular() {
		f.Close()
		return nil, errors.New(name + " is not a regular file")
	}
	return f, nil
}

// readRegular returns the content of a file that has at most maxFile bytes.
func readRegular(root *os.Root, name string) ([]byte, error) {
	f, err := openRegular(root, name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		return nil, errors.New(name + " has more than " + strconv.Itoa(maxFile>>20) + " MiB")
	}
	return b, err
}
