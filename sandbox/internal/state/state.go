package state

// This file describes what other commands know about a sandbox. The state directory has a subdirectory (an entry) for
// each sandbox. Only the sandbox's launcher writes the entry. The launcher holds a lock while it lives, so that other
// commands can tell a running launcher from a killed one. Three values together identify a process: its pid, its start
// time and the boot. See flock(2), proc_pid_stat(5).

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy/phrase"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/plan"
	"cordon/sandbox/report"
)

const stateVersion = 1

const (
	stateFile   = "state.json"
	profileFile = "profile.yaml" // the effective profile, each value with its source
	planFile    = "plan.txt"
	reportFile  = "report.json" // exists once the sandbox has ended
	logFile     = "log"         // the newest log file; older ones are log.1, log.2, …
	lockFile    = "lock"        // locked while the launcher lives; then contains the Ending
)

// State is the content of state.json in a sandbox's directory.
type State struct {
	Version    int        `json:"version"` // of this format: 1
	ID         string     `json:"id"`
	Name       string     `json:"name,omitempty"`
	Profile    string     `json:"profile"`
	Args       []string   `json:"args"`
	Cwd        string     `json:"cwd"`
	Home       string     `json:"home,omitempty"`
	Memory     int64      `json:"memory_limit_bytes,omitempty"` // limits.memory; 0 means none
	Detached   bool       `json:"detached"`
	AutoRemove bool       `json:"auto_remove,omitempty"` // remove the entry when the sandbox ends
	Created    time.Time  `json:"created"`
	Boot       string     `json:"boot_id"`       // boot_id of random(4)
	PIDSpace   string     `json:"pid_namespace"` // the namespace to which the pids belong: "pid:[4026531836]"
	Launcher   ProcessID  `json:"launcher"`
	Cgroup     *Cgroup    `json:"cgroup,omitempty"` // where its cgroups are; nil if it has none
	Init       *ProcessID `json:"init,omitempty"`   // nil until the program runs
	Task       *ProcessID `json:"task,omitempty"`
}

// ProcessID identifies a process, and no later process with the same pid.
type ProcessID struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // in clock ticks since boot: proc_pid_stat(5), field 22
}

// Ending says how a sandbox ended.
type Ending struct {
	At     time.Time `json:"at"`
	Code   int       `json:"code"` // cordon's exit code for this ending
	Signal string    `json:"signal,omitempty"`
	Limit  string    `json:"limit,omitempty"` // the limit that ended it, such as "timeout"
	Error  string    `json:"error,omitempty"` // why the launcher could not finish the run, or store the report

	LogLost  int64  `json:"log_lost_bytes,omitempty"` // bytes of output that could not be logged
	LogError string `json:"log_error,omitempty"`
}

// Status says what a sandbox is doing.
type Status string

const (
	StatusStarting Status = "starting"
	StatusRunning  Status = "running"
	StatusPaused   Status = "paused"
	StatusEnded    Status = "ended"
	StatusLost     Status = "lost" // its launcher was killed; the next command removes what is left
)

// Entry is the directory of one sandbox in the state directory.
type Entry struct {
	State State

	dir  *StateDir
	base string   // the directory's name: ID, or ID@NAME
	root *os.Root // the directory
	lock *os.File
	log  *Log
}

// save writes state.json. It writes the file completely or not at all.
func (e *Entry) save() error {
	b, err := json.MarshalIndent(&e.State, "", "  ")
	if err != nil {
		return err
	}
	return e.write(stateFile, append(b, '\n'))
}

// write writes a file of the entry. It writes the file completely or not at all.
func (e *Entry) write(name string, data []byte) error {
	tmp := "." + name
	err := e.root.WriteFile(tmp, data, 0o600)
	if err == nil {
		err = e.root.Chmod(tmp, 0o600) // whatever the umask is
	}
	if err == nil {
		err = e.root.Rename(tmp, name)
	}
	if err != nil {
		_ = e.root.Remove(tmp)
	}
	return err
}

// Close closes the entry. If the launcher calls it, it also releases the launcher's lock.
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

// Ending returns how the sandbox ended. It returns nil while the launcher lives, and if the launcher was killed.
func (e *Entry) Ending() *Ending {
	if e.alive() {
		return nil
	}
	return e.ended()
}

// endingSize is the size that is reserved for an Ending, in bytes.
const endingSize = 4096

// ended returns the Ending that the launcher has written, or nil if it has written none.
func (e *Entry) ended() *Ending {
	var buf [endingSize]byte
	n, _ := e.lock.ReadAt(buf[:], 0)
	var end Ending
	if json.Unmarshal(bytes.TrimRight(buf[:n], "\x00"), &end) != nil {
		return nil
	}
	return &end
}

// Status returns what the sandbox is doing, as far as the launcher's lock shows that. The lock does not show whether
// the sandbox is paused: see [Entry.Paused].
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

// Wait waits until the launcher has ended, and returns how the sandbox ended, or nil if the launcher was killed. The
// entry's directory may be removed meanwhile.
func (e *Entry) Wait() (*Ending, error) {
	for {
		switch err := unix.Flock(int(e.lock.Fd()), unix.LOCK_SH); err {
		case nil:
			_ = unix.Flock(int(e.lock.Fd()), unix.LOCK_UN)
			return e.ended(), nil
		case unix.EINTR:
		default:
			return nil, &fail.Error{Op: "lock of sandbox " + e.State.ID, Err: err}
		}
	}
}

// End stores how the sandbox ended, and its report, which may be nil. The launcher calls it just before it ends.
func (e *Entry) End(end Ending, r *report.Report) error {
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
			failed = &fail.Error{Op: "keep the report", Err: phrase.Cause(err)}
			end.Error = strings.TrimPrefix(end.Error+"; "+failed.Error(), "; ")
		}
	}
	end.Error = end.Error[:min(len(end.Error), endingSize/8)] // in JSON a byte takes up to six bytes
	end.LogError = end.LogError[:min(len(end.LogError), 200)]
	b, err := json.Marshal(end)
	if err == nil {
		_, err = e.lock.WriteAt(b, 0)
	}
	if err != nil {
		return &fail.Error{Op: "keep the end of sandbox " + e.State.ID, Err: phrase.Cause(err)}
	}
	return failed
}

// Save writes what the launcher knows about the sandbox at present to state.json.
func Save(e *Entry) error { return e.save() }

// Keep stores the effective profile and the plan with which the program is started, and also does what Save does.
func Keep(e *Entry, profile []byte, p *plan.Plan) error {
	var text bytes.Buffer
	if err := p.WriteText(&text); err != nil {
		return err
	}
	return errors.Join(e.write(profileFile, profile), e.write(planFile, text.Bytes()), e.save())
}

// Root returns the entry's directory, which contains the launcher's socket.
func Root(e *Entry) *os.Root { return e.root }

// Profile returns the effective profile in YAML, each value with its source. It returns fs.ErrNotExist before the
// program runs.
func (e *Entry) Profile() ([]byte, error) { return readRegular(e.root, profileFile) }

// Plan returns the plan as printed text. It returns fs.ErrNotExist before the program runs.
func (e *Entry) Plan() ([]byte, error) { return readRegular(e.root, planFile) }

// Report returns the report in JSON. It returns fs.ErrNotExist before the sandbox has ended.
func (e *Entry) Report() ([]byte, error) { return readRegular(e.root, reportFile) }

func bootID() (string, error) {
	b, err := proc.ReadSome("/proc/sys/kernel/random/boot_id", 64)
	return strings.TrimSpace(string(b)), err
}

// IdentifyProcess returns the identity of a process. The caller must make sure that the pid is not reused during the
// call.
func IdentifyProcess(pid int) (ProcessID, error) {
	b, err := proc.ReadSome("/proc/"+strconv.Itoa(pid)+"/stat", 1024)
	if err != nil {
		return ProcessID{}, err
	}
	st, err := proc.ParseStat(b)
	return ProcessID{pid, st.Start}, err
}

// hidden reports whether a process exists but is invisible to the caller. That is so if /proc is mounted with hidepid
// (proc(5)), because a sandbox's pid 1 is not dumpable. Then only the launcher's lock shows whether the pid still
// belongs to the same process.
func (id ProcessID) hidden() bool {
	_, err := IdentifyProcess(id.PID)
	return errors.Is(err, fs.ErrNotExist) && unix.Kill(id.PID, 0) != unix.ESRCH
}

// whyHidden is the cause that error messages name for a hidden process.
const whyHidden = "/proc hides it (hidepid)"
