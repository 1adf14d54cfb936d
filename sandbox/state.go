package sandbox

// The state directory: what other commands know of a sandbox, one sub-directory for each, which its launcher writes and
// nobody else. It holds a lock for as long as it lives, so that a launcher that was killed is told from one that runs,
// and processes are known by their start time and the boot besides their number. flock(2), proc_pid_stat(5).

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
)

const stateVersion = 1

// The files of a sandbox's directory.
const (
	stateFile   = "state.json"
	profileFile = "profile.yaml" // the effective profile, each value with its source
	planFile    = "plan.txt"
	reportFile  = "report.json" // once it has ended
	logFile     = "log"         // the newest; then log.1, log.2, …
	controlFile = "control"     // the launcher's socket
	lockFile    = "lock"        // locked while the launcher lives; then it holds the Ending
)

// State is what a sandbox's directory says of it: state.json.
type State struct {
	Version    int        `json:"version"` // of this format: 1
	ID         string     `json:"id"`
	Name       string     `json:"name,omitempty"`
	Profile    string     `json:"profile"`
	Args       []string   `json:"args"`
	Cwd        string     `json:"cwd"`
	Home       string     `json:"home,omitempty"`
	Memory     int64      `json:"memory_limit_bytes,omitempty"` // limits.memory; 0: none
	Detached   bool       `json:"detached"`
	AutoRemove bool       `json:"auto_remove,omitempty"` // nothing is kept of it when it has ended
	Created    time.Time  `json:"created"`
	Boot       string     `json:"boot_id"`       // of random(4)
	PIDSpace   string     `json:"pid_namespace"` // in which the numbers of processes are meant: "pid:[4026531836]"
	Launcher   ProcessID  `json:"launcher"`
	Cgroup     *Cgroup    `json:"cgroup,omitempty"` // where its groups are; nil: it has none
	Init       *ProcessID `json:"init,omitempty"`   // nil until the program runs
	Task       *ProcessID `json:"task,omitempty"`
}

// ProcessID is a process, and no other one that has the number later.
type ProcessID struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // in clock ticks since boot: proc_pid_stat(5), field 22
}

// Ending is how a sandbox ended.
type Ending struct {
	At     time.Time `json:"at"`
	Code   int       `json:"code"` // the exit code that stands for it
	Signal string    `json:"signal,omitempty"`
	Limit  string    `json:"limit,omitempty"` // which limit ended it: "timeout"
	Error  string    `json:"error,omitempty"` // of the launcher: the run could not be finished, or its report not be kept

	LogLost  int64  `json:"log_lost_bytes,omitempty"` // output that could not be logged
	LogError string `json:"log_error,omitempty"`
}

// Status is what a sandbox is doing.
type Status string

const (
	StatusStarting Status = "starting"
	StatusRunning  Status = "running"
	StatusPaused   Status = "paused"
	StatusEnded    Status = "ended"
	StatusLost     Status = "lost" // its launcher was killed: the next command removes what is left
)

// StateDir is an open state directory.
type StateDir struct {
	path string
	root *os.Root
}

// StatePath is where this user's state belongs: /run/cordon for root, and else cordon in XDG_RUNTIME_DIR or in the
// directory that stands for it where that is not set, /run/user/UID. It is "" where there is no such directory.
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
		return joinPath(clean(dir), "cordon")
	}
	dir := "/run/user/" + itoa(uid)
	if i, err := os.Lstat(dir); err != nil || !i.IsDir() {
		return ""
	}
	return dir + "/cordon"
}

const runtimeDirRemedy = "set XDG_RUNTIME_DIR to a directory of yours, mode 0700, on a file system of this machine, the same for every command"

// OpenStateDir opens the state directory, and makes it where it is missing. Nobody else may be able to write there.
func OpenStateDir(path string) (*StateDir, error) {
	if path == "" {
		return nil, &Error{Op: "state directory", Err: errText("XDG_RUNTIME_DIR is not set to an absolute path, and there is no /run/user/" + itoa(os.Getuid())), Hint: runtimeDirRemedy}
	}
	fail := func(err error, hint string) (*StateDir, error) {
		return nil, &Error{Op: "state directory " + strconv.Quote(path), Err: err, Hint: hint}
	}
	parent, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return fail(cause(err), runtimeDirRemedy)
	}
	if why := unsafeDir(parent, 0o022); why != "" {
		return fail(errText("the directory it is in "+why), runtimeDirRemedy)
	}
	if err := unix.Mkdir(path, 0o700); err != nil && err != unix.EEXIST {
		return fail(err, runtimeDirRemedy)
	}
	if i, err := os.Lstat(path); err == nil && !i.IsDir() {
		return fail(errText("is not a directory, or a symbolic link"), "remove it")
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return fail(cause(err), runtimeDirRemedy)
	}
	i, err := root.Stat(".")
	if err == nil && unsafeDir(i, 0o077) != "" {
		err = errText(unsafeDir(i, 0o077))
	}
	if err != nil {
		root.Close()
		return fail(cause(err), "cordon keeps its state where nobody else may look: remove that directory, or chmod 700 it if it is yours")
	}
	return &StateDir{path, root}, nil
}

// unsafeDir says why a directory is not the caller's alone, "" if it is. Root's own is as good where others may read it.
func unsafeDir(i fs.FileInfo, forbidden fs.FileMode) string {
	st, ok := i.Sys().(*syscall.Stat_t)
	switch uid := os.Getuid(); {
	case !ok:
		return "has no owner"
	case int(st.Uid) != uid && (st.Uid != 0 || forbidden&0o044 != 0):
		return "belongs to user " + strconv.FormatUint(uint64(st.Uid), 10) + ", not to " + itoa(uid)
	case i.Mode().Perm()&forbidden != 0:
		return "has mode " + strconv.FormatUint(uint64(i.Mode().Perm()), 8) + ": others may use it"
	}
	return ""
}

// Close closes the directory, not the entries that were found in it.
func (d *StateDir) Close() { d.root.Close() }

// Path is where it is.
func (d *StateDir) Path() string { return d.path }

// Entry is the directory of one sandbox.
type Entry struct {
	State State

	dir  *StateDir
	base string   // of the directory: ID, or ID@NAME
	root *os.Root // the directory
	lock *os.File
	log  *Log
}

// nameError is a name that cannot be given to a sandbox.
func nameError(name, why, hint string) *Error {
	return &Error{Op: "name " + strconv.Quote(name), Err: errText(why), Hint: hint}
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
	return nameError(name, "not a name", "a name has up to "+itoa(maxName)+" letters, digits, and behind the first of them - _ .")
}

// Create makes the entry of a sandbox of this process, which is its launcher, and locks it. s has what its caller knows;
// the rest is filled in. Of two that want the same name one gets it.
func (d *StateDir) Create(s State) (*Entry, error) {
	if s.Name != "" {
		if err := checkName(s.Name); err != nil {
			return nil, err
		}
	}
	if err := s.identify(); err != nil {
		return nil, &Error{Op: "state", Err: err}
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
		return nil, &Error{Op: "state", Err: err}
	}
	e := &Entry{State: s, dir: d, base: s.base()}
	if err := e.make(); err != nil {
		e.close()
		_ = d.root.RemoveAll("." + e.base)
		return nil, &Error{Op: "state directory " + strconv.Quote(d.path), Err: cause(err)}
	}
	return e, nil
}

// identify fills in what is known of this process.
func (s *State) identify() (err error) {
	s.Version, s.Created = stateVersion, time.Now()
	if s.Boot, err = bootID(); err != nil {
		return err
	}
	if s.PIDSpace, err = readlink("/proc/self/ns/pid"); err != nil {
		return err
	}
	s.Launcher, err = identify(os.Getpid())
	return err
}

func (s *State) base() string {
	if s.Name == "" {
		return s.ID
	}
	return s.ID + "@" + s.Name
}

// free refuses a name that another sandbox has.
func (d *StateDir) free(names []string, name string) error {
	for _, n := range names {
		id, its, _ := strings.Cut(n, "@")
		if name == "" || its != name {
			continue
		}
		e := nameError(name, "in use by sandbox "+id, "choose another, or end that one: cordon rm -f "+name)
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

// newID is a number that none has: 48 random bits.
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

// make makes the directory under a name that nobody looks at, and gives it its own when it is locked and whole.
func (e *Entry) make() error {
	hidden := "." + e.base
	if err := e.dir.root.Mkdir(hidden, 0o700); err != nil {
		return err
	}
	var err error
	if e.root, err = e.dir.root.OpenRoot(hidden); err != nil {
		return err
	}
	if e.lock, err = e.root.OpenFile(lockFile, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return err
	}
	// The place that the end is written to is taken now, so that a file system that is full then does not matter.
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

// save writes state.json, whole or not at all.
func (e *Entry) save() error {
	b, err := json.MarshalIndent(&e.State, "", "  ")
	if err != nil {
		return err
	}
	return e.write(stateFile, append(b, '\n'))
}

// write puts a file into the entry, whole or not at all.
func (e *Entry) write(name string, data []byte) error {
	tmp := "." + name
	err := e.root.WriteFile(tmp, data, 0o600)
	if err == nil {
		err = e.root.Rename(tmp, name)
	}
	if err != nil {
		_ = e.root.Remove(tmp)
	}
	return err
}

// exclusive locks the directory against others that make or remove entries; a moment's work, so one that takes long is
// a process that was stopped.
func (d *StateDir) exclusive() (unlock func(), err error) {
	f, err := d.root.OpenFile(lockFile, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, &Error{Op: "state directory " + strconv.Quote(d.path), Err: cause(err)}
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR || time.Now().After(deadline) {
			f.Close()
			return nil, &Error{Op: "lock " + strconv.Quote(joinPath(d.path, lockFile)), Err: err, Hint: "another cordon has held it for 5 s: is one stopped?"}
		}
	}
}

// names are the entries' directories, in the order of their numbers.
func (d *StateDir) names() ([]string, error) {
	all, err := fs.ReadDir(d.root.FS(), ".")
	if err != nil {
		return nil, &Error{Op: "state directory " + strconv.Quote(d.path), Err: cause(err)}
	}
	var names []string
	for _, i := range all {
		if i.IsDir() && i.Name()[0] != '.' {
			names = append(names, i.Name())
		}
	}
	return names, nil
}

// open opens an entry and reads its state; an error is fs.ErrNotExist where it has gone meanwhile.
func (d *StateDir) open(base string) (*Entry, error) {
	root, err := d.root.OpenRoot(base)
	if err != nil {
		return nil, err
	}
	e := &Entry{dir: d, base: base, root: root}
	if e.lock, err = root.OpenFile(lockFile, os.O_RDWR, 0); err == nil {
		err = e.load()
	}
	if err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

// load reads state.json.
func (e *Entry) load() error {
	b, err := e.root.ReadFile(stateFile)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &e.State); err != nil {
		return err
	}
	if e.State.Version != stateVersion {
		return errText("state.json has version " + itoa(e.State.Version) + ", and this is version " + itoa(stateVersion))
	}
	if e.State.base() != e.base {
		return errText("state.json is that of " + strconv.Quote(e.State.base()))
	}
	return nil
}

// Close forgets the entry; a launcher's lock goes with it.
func (e *Entry) Close() { e.close() }

func (e *Entry) close() {
	if e.lock != nil {
		e.lock.Close()
	}
	if e.root != nil {
		e.root.Close()
	}
}

// alive reports whether the launcher holds its lock.
func (e *Entry) alive() bool {
	err := unix.Flock(int(e.lock.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if err == nil {
		_ = unix.Flock(int(e.lock.Fd()), unix.LOCK_UN)
	}
	return err != nil
}

// Ending is how the sandbox ended; nil while its launcher lives, and where it was killed.
func (e *Entry) Ending() *Ending {
	if e.alive() {
		return nil
	}
	return e.ended()
}

// endingSize is the room for an Ending, in bytes.
const endingSize = 4096

// ended reads the end that the launcher has written, nil if it has not.
func (e *Entry) ended() *Ending {
	var buf [endingSize]byte
	n, _ := e.lock.ReadAt(buf[:], 0)
	var end Ending
	if json.Unmarshal(bytes.TrimRight(buf[:n], "\x00"), &end) != nil {
		return nil
	}
	return &end
}

// Status is what the sandbox is doing, as far as its launcher's lock tells; whether it is paused is [Entry.Paused].
func (e *Entry) Status() Status {
	switch {
	case e.alive() && e.State.Init == nil:
		return StatusStarting
	case e.alive():
		return StatusRunning
	case e.ended() != nil:
		return StatusEnded
	}
	return StatusLost
}

// Wait waits until the launcher is gone, and says how the sandbox ended: nil if the launcher was killed. It needs nothing
// of the directory, which may be removed meanwhile.
func (e *Entry) Wait() (*Ending, error) {
	for {
		switch err := unix.Flock(int(e.lock.Fd()), unix.LOCK_SH); err {
		case nil:
			_ = unix.Flock(int(e.lock.Fd()), unix.LOCK_UN)
			return e.ended(), nil
		case unix.EINTR:
		default:
			return nil, &Error{Op: "lock of sandbox " + e.State.ID, Err: err}
		}
	}
}

// End keeps how the sandbox ended, and its report, which may be nil. To be called by the launcher, which ends then.
func (e *Entry) End(end Ending, r *Report) error {
	end.At = time.Now()
	if e.log != nil {
		end.LogLost, end.LogError = e.log.Lost()
	}
	var failed error
	if r != nil {
		b, err := json.MarshalIndent(r, "", "  ")
		if err == nil {
			err = e.write(reportFile, append(b, '\n'))
		}
		if err != nil {
			failed = &Error{Op: "keep the report", Err: cause(err)}
			end.Error = strings.TrimPrefix(end.Error+"; "+failed.Error(), "; ")
		}
	}
	end.Error = end.Error[:min(len(end.Error), endingSize/8)] // a byte is six at most in JSON
	end.LogError = end.LogError[:min(len(end.LogError), 200)]
	b, err := json.Marshal(end)
	if err == nil {
		_, err = e.lock.WriteAt(b, 0)
	}
	if err != nil {
		return &Error{Op: "keep the end of sandbox " + e.State.ID, Err: cause(err)}
	}
	return failed
}

// identify keeps who the sandbox's processes are; before init may reap a task that has ended already.
func (p *process) identify() error {
	e := p.cmd.State
	if e == nil {
		return nil
	}
	init, err := identify(p.pid)
	if err != nil {
		return &Error{Op: "identify pid 1", Err: cause(err)}
	}
	task, err := identify(p.task)
	if err != nil {
		return &Error{Op: "identify the task", Err: cause(err)}
	}
	e.State.Init, e.State.Task = &init, &task
	return nil
}

// keepGroup says where the sandbox's groups are, before anything is in them: a launcher that is killed leaves them.
func (p *process) keepGroup() error {
	e := p.cmd.State
	if e == nil || p.cgroup == nil {
		return nil
	}
	place := p.cgroup.Place
	e.State.Cgroup = &place
	if err := e.save(); err != nil {
		return &Error{Op: "keep the state", Err: cause(err)}
	}
	return nil
}

// keepState writes what the program was started with, and listens to other commands.
func (p *process) keepState() error {
	e := p.cmd.State
	if e == nil {
		return nil
	}
	if m := p.comp.profile.Limits.Memory; m.Set {
		e.State.Memory = m.V
	}
	if p.cgroup != nil { // systemd's is known only now
		place := p.cgroup.Place
		e.State.Cgroup = &place
	}
	if err := errors.Join(e.write(profileFile, policy.Show(p.comp.profile)), e.writePlan(p.comp), e.save()); err != nil {
		return &Error{Op: "keep the state", Err: err}
	}
	// A launcher that may live for long is small: half of what it holds is the plan, which has been carried out.
	p.comp.plan.Steps, p.comp.plan.Init, p.comp.tree.known = nil, nil, nil
	return p.serveControl(e.root)
}

func (e *Entry) writePlan(c *compilation) error {
	var text bytes.Buffer
	if err := c.plan.WriteText(&text); err != nil {
		return err
	}
	return e.write(planFile, text.Bytes())
}

// Profile is the effective profile in YAML, each value with its source; fs.ErrNotExist before the program runs.
func (e *Entry) Profile() ([]byte, error) { return e.root.ReadFile(profileFile) }

// Plan is the plan as it is printed; fs.ErrNotExist before the program runs.
func (e *Entry) Plan() ([]byte, error) { return e.root.ReadFile(planFile) }

// Report is the report in JSON; fs.ErrNotExist before the sandbox has ended.
func (e *Entry) Report() ([]byte, error) { return e.root.ReadFile(reportFile) }

// cause strips what package os wraps around an error.
func cause(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

func bootID() (string, error) {
	b, err := readSome("/proc/sys/kernel/random/boot_id", 64)
	return strings.TrimSpace(string(b)), err
}

// identify tells a process from one that has its number later. The caller keeps the number from being used again.
func identify(pid int) (ProcessID, error) {
	b, err := readSome("/proc/"+itoa(pid)+"/stat", 1024)
	if err != nil {
		return ProcessID{}, err
	}
	st, err := parseStat(b)
	return ProcessID{pid, st.start}, err
}
