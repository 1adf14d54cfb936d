package state

// This file describes what other commands know of a sandbox. The state directory has one sub-directory for each
// sandbox, which only the sandbox's launcher writes. The launcher holds a lock as long as it lives, so that other
// commands can tell a running launcher from a killed one. Processes are identified by their number, their start time
// and the boot. flock(2), proc_pid_stat(5).

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
	reportFile  = "report.json" // once it has ended
	logFile     = "log"         // the newest; then log.1, log.2, …
	lockFile    = "lock"        // locked while the launcher lives; then it holds the Ending
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

// ProcessID identifies a process, and no later process with the same number.
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

// Status says what a sandbox is doing.
type Status string

const (
	StatusStarting Status = "starting"
	StatusRunning  Status = "running"
	StatusPaused   Status = "paused"
	StatusEnded    Status = "ended"
	StatusLost     Status = "lost" // its launcher was killed: the next command removes what is left
)

// Entry is the directory of one sandbox.
type Entry struct {
	State State

	dir  *StateDir
	base string   // of the directory: ID, or ID@NAME
	root *os.Root // the directory
	lock *os.File
	log  *Log
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

// Status returns what the sandbox is doing, as far as its launcher's lock shows it. [Entry.Paused] says whether it is
// paused.
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
			return nil, &fail.Error{Op: "lock of sandbox " + e.State.ID, Err: err}
		}
	}
}

// End keeps how the sandbox ended, and its report, which may be nil. To be called by the launcher, which ends then.
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
	end.Error = end.Error[:min(len(end.Error), endingSize/8)] // a byte is six at most in JSON
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

// Save writes what the launcher knows of the sandbox by now.
func Save(e *Entry) error { return e.save() }

// Keep writes what the program is started with: the effective profile, the plan and what Save writes.
func Keep(e *Entry, profile []byte, p *plan.Plan) error {
	var text bytes.Buffer
	if err := p.WriteText(&text); err != nil {
		return err
	}
	return errors.Join(e.write(profileFile, profile), e.write(planFile, text.Bytes()), e.save())
}

// Root returns the entry's directory, in which the launcher's socket is.
func Root(e *Entry) *os.Root { return e.root }

// Profile is the effective profile in YAML, each value with its source; fs.ErrNotExist before the program runs.
func (e *Entry) Profile() ([]byte, error) { return e.root.ReadFile(profileFile) }

// Plan is the plan as it is printed; fs.ErrNotExist before the program runs.
func (e *Entry) Plan() ([]byte, error) { return e.root.ReadFile(planFile) }

// Report is the report in JSON; fs.ErrNotExist before the sandbox has ended.
func (e *Entry) Report() ([]byte, error) { return e.root.ReadFile(reportFile) }

func bootID() (string, error) {
	b, err := proc.ReadSome("/proc/sys/kernel/random/boot_id", 64)
	return strings.TrimSpace(string(b)), err
}

// IdentifyProcess returns an identity that no later process with the same number has. The caller must make sure that
// the number is not reused during the call.
func IdentifyProcess(pid int) (ProcessID, error) {
	b, err := proc.ReadSome("/proc/"+strconv.Itoa(pid)+"/stat", 1024)
	if err != nil {
		return ProcessID{}, err
	}
	st, err := proc.ParseStat(b)
	return ProcessID{pid, st.Start}, err
}

// hidden reports whether a process is there and may not be seen: /proc is mounted with hidepid (proc(5)), and pid 1 of a
// sandbox is not dumpable. Whether it is the one that is meant, the launcher's lock tells.
func (id ProcessID) hidden() bool {
	_, err := IdentifyProcess(id.PID)
	return errors.Is(err, fs.ErrNotExist) && unix.Kill(id.PID, 0) != unix.ESRCH
}

// whyHidden is what is said of such a process.
const whyHidden = "/proc hides it (hidepid)"
