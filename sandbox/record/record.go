// Package record watches a program in a sandbox, and makes a recording of what the program does.
//
// There are two back ends. "notify" works for every user: a system call filter notifies the launcher of the interesting
// calls. The launcher examines each call while the caller waits, and then lets the call continue. "bpf" needs root:
// programs in the kernel examine every call, store each kind of event once, and delay no process.
//
// Neither back end gives protection. The kernel makes a call from memory that the program can change after the recorder
// has read it (seccomp_unotify(2), "Caveats"). A recorded program also runs without the profile's filter, without
// Landlock and without the limits on its capabilities; only the profile's root and namespaces confine it. Record only
// programs that you trust this far.
package record

import (
	"errors"
	"runtime"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/policy/recording"
	"cordon/sandbox"
	"cordon/sandbox/doctor"
	"cordon/sandbox/host"
)

// These are the names of the back ends.
const (
	Auto   = "auto" // bpf if it works, otherwise notify
	BPF    = "bpf"
	Notify = "notify"
)

// Options says how to record.
type Options struct {
	Backend  string // Auto, BPF or Notify; "" is Auto
	AllCalls bool   // notify: record every call, including those that a program makes all the time
}

// Recorder is a sandbox.Observer that collects a recording of one run.
type Recorder struct {
	backend
	name    string
	started time.Time
	workdir string
}

// backend is one way to watch what a program does.
type backend interface {
	sandbox.Observer
	facts() *gather
	// stop ends the recording, and reads the rest of what was recorded.
	stop()
	// limits returns why the recording is incomplete, and which kinds of events the back end cannot record at all.
	limits() (why []string, blind []recording.Kind)
}

// New makes a recorder. If no back end works here, the error says why; with Auto it has the reason for each back end.
func New(o Options) (*Recorder, error) {
	native, ok := filter.ParseArch(runtime.GOARCH)
	if !ok {
		return nil, errors.New("no system call table for " + runtime.GOARCH)
	}
	r := &Recorder{name: o.Backend}
	var err error
	switch o.Backend {
	case BPF:
		err = r.useBPF(native)
	case Notify:
		r.backend = newNotify(native, o.AllCalls)
	case Auto, "":
		if o.AllCalls || r.useBPF(native) != nil {
			r.name, r.backend = Notify, newNotify(native, o.AllCalls)
		}
	default:
		err = errors.New("back end " + strconv.Quote(o.Backend) + ": there are auto, bpf and notify")
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Watch makes a recorder with the notify back end, for a filter of the caller's. It calls seen for each new kind of
// event, while the program waits. After that only the Count of the event changes.
func Watch(spec *filter.Spec, seen func(*recording.Event)) (*Recorder, error) {
	native, ok := filter.ParseArch(runtime.GOARCH)
	if !ok {
		return nil, errors.New("no system call table for " + runtime.GOARCH)
	}
	n := newNotify(native, false)
	n.spec, n.seen = spec, seen
	return &Recorder{name: Notify, backend: n}, nil
}

// PathCalls returns the names of the system calls that take a path.
func PathCalls() (names []string) {
	for i := range pathArgs {
		if !slices.Contains(names, pathArgs[i].call) {
			names = append(names, pathArgs[i].call)
		}
	}
	return names
}

// AddressCalls returns the names of the system calls that take a socket address.
func AddressCalls() (names []string) {
	for i := range addrArgs {
		names = append(names, addrArgs[i].call)
	}
	return names
}

func (r *Recorder) useBPF(native filter.Arch) error {
	b, err := newBPF(native)
	if err == nil {
		r.name, r.backend = BPF, b
	}
	return err
}

// Backend returns the name of the back end that New chose.
func (r *Recorder) Backend() string { return r.name }

// Ready implements sandbox.Observer.
func (r *Recorder) Ready(task int) error {
	r.started = time.Now()
	r.workdir, _ = link(procPath(task, "cwd"))
	return r.backend.Ready(task)
}

// Stop ends the recording. It must be called after the task has ended.
func (r *Recorder) Stop() { r.stop() }

// Dropped returns how many events did not fit into the recording. These events certainly happened. Of the events that
// were lost because their caller was killed, that is not certain.
func (r *Recorder) Dropped() uint64 {
	g := r.facts()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.dropped
}

// Recording returns what was recorded so far. run holds what the recorder cannot know: the command, the profile, the
// user, and how the run ended.
func (r *Recorder) Recording(run recording.Run) *recording.Recording {
	out, lost := r.facts().recording()
	why, blind := r.limits()
	for _, what := range slices.Sorted(keys(lost)) {
		why = append(why, "lost: "+what+" ("+strconv.FormatUint(lost[what], 10)+")")
	}
	run.Backend, run.Blind, run.Why, run.Complete = r.name, blind, why, len(why) == 0
	if len(lost) > 0 {
		run.Lost = lost
	}
	run.Kernel, run.Started, run.Wall, run.Workdir = kernel(), r.started, time.Since(r.started), r.workdir
	out.Header = recording.Header{Arch: r.facts().native.String(), Runs: []recording.Run{run}}
	return out
}

func keys(m map[string]uint64) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func kernel() string {
	var uts unix.Utsname
	if unix.Uname(&uts) != nil {
		return ""
	}
	return unix.ByteSliceToString(uts.Release[:])
}

// Permissive returns the profile for recording a program. The profile has the root, mounts, namespaces, ids,
// environment and wall-clock limit of p, and nothing else of p. It keeps all capabilities if they have an effect only
// in a user namespace of the sandbox's own.
func Permissive(p *policy.Profile) *policy.Profile {
	out := *p
	out.Syscalls = policy.Syscalls{}
	out.Landlock = policy.Landlock{Off: true}
	out.Limits = policy.Limits{Wall: p.Limits.Wall}
	out.OnDenial = policy.DenialSilent
	if p.Namespaces.User.Mode == policy.NSNew {
		out.Capabilities = policy.Capabilities{Keep: allCapabilities()}
	}
	return &out
}

func allCapabilities() (all []policy.Capability) {
	for i := 0; policy.CapabilityName(i) != ""; i++ {
		all = append(all, policy.Capability{Name: policy.CapabilityName(i)})
	}
	return all
}

// Probe reports for each back end whether it works here. If a back end does not work, Probe says why. To find out,
// Probe loads the programs of bpf and unloads them again.
func Probe() []doctor.Finding {
	notify := doctor.Finding{Name: "record-notify", For: "cordon record, for everybody", State: doctor.OutcomeOK, Found: "system calls wait for the recorder"}
	if h, err := host.Probe(); err != nil || h.NotifyFlags == 0 {
		notify.State, notify.Found = doctor.OutcomeMissing, "no listener for a filter"
		if err == nil {
			notify.Cause = h.NotifyWhy
		}
	}
	bpf := doctor.Finding{Name: "record-bpf", For: "cordon record by root: every call seen, nobody held up, and capabilities", State: doctor.OutcomeOK, Found: "the programs are loaded"}
	native, _ := filter.ParseArch(runtime.GOARCH)
	b, err := newBPF(native)
	if err != nil {
		bpf.State, bpf.Found, bpf.Cause = doctor.OutcomeMissing, "not to be had", err.Error()
		bpf.Remedy = "run cordon record as root on the host, on Linux 5.15 or newer with CONFIG_DEBUG_INFO_BTF; until then it takes notify"
	} else {
		b.stop()
	}
	return []doctor.Finding{notify, bpf}
}
