// Package audit runs a program without a sandbox, and says what a profile would have denied.
//
// The program runs as the caller, with the host's own file tree, network and processes. Its filter is the profile's
// with one change: if the profile denies a call, the filter asks the launcher, which notes the call and lets it
// continue. So a call that the profile allows costs the same as under the profile. The filter also asks about allowed
// calls that concern files, addresses and capabilities. The package compiles a model of the sandbox, but does not
// build the sandbox. The model says what these calls would have met. If the profile's root is a directory, the program
// runs in that directory, writable, with the profile's mounts and ids.
//
// An audit gives no protection, because the kernel makes a call from memory that the program can change after the
// launcher has looked at it: seccomp_unotify(2), "Caveats".
package audit

import (
	"errors"
	"runtime"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/policy/recording"
	"cordon/sandbox"
	"cordon/sandbox/host"
	"cordon/sandbox/record"
)

// Denial describes all operations of one kind that the profile would have denied. The details are those of the first.
type Denial struct {
	Layer  string           // a policy.Layer, or "file" if a file's permissions deny the ids that the task would have
	Call   string           // the call with its arguments: `openat(AT_FDCWD, "/etc/shadow", O_RDONLY)`
	Arch   string           // the call's architecture, if it is not the machine's: "i386"
	Object string           // the path, address or capability that the call is about; or ""
	Access recording.Access // how a path was used
	Use    string           // how an address was used: "connect"
	Count  uint64           // how often
	Comm   string           // the name of the process, which the process can set to anything
	PID    int              // the process's pid
	Basis  Basis            // how the audit knows
	Reason *sandbox.Reason  // the rule that would deny it, and what would allow it

	events []*recording.Event // when the audit ends, their counts are added to Count
}

// Basis says how the audit knows of a denial.
type Basis string

// The values of Basis.
const (
	Filtered  Basis = "filter"   // the profile's filter was asked about the call, and denies it
	Evaluated Basis = "picture"  // the file or address of the call was looked up in the model of the sandbox
	Inferred  Basis = "inferred" // a call like this needs the capability; the audit has not seen whether it used it
	Measured  Basis = "measured" // the audit measured the use of a limited resource
)

// maxKinds bounds how many kinds of denied calls an Auditor remembers, and so the memory that a program can make the
// launcher use.
const maxKinds = 4096

// Auditor is a sandbox.Observer that audits one run.
type Auditor struct {
	*record.Recorder
	profile *policy.Profile
	query   *sandbox.Query
	files   host.Files
	spec    *filter.Spec
	plain   *filter.Program // the profile's own filter

	callsOnly bool
	root      int // the task's root, if the profile's root is a directory; otherwise -1

	call    *sandbox.Call // the call that is being examined; nil if there is none
	known   map[callID]*aspects
	bounds  bounds
	denials []*Denial
	kinds   map[kind]*Denial
	dropped uint64
	places  map[place]*Denial
	made    map[string]bool // paths of files that would be on the sandbox's own file systems
	bound   map[string]bool // addresses that the program itself has bound
}

// kind identifies a kind of denied call, by its number, its constant arguments and its result; or a capability.
type kind struct {
	arch   uint32
	nr     int32
	args   [6]uint64
	action filter.Action
	layer  string // the layer, if it is not seccomp
	cap    string
}

// callID is a call's number in one of the machine's ABIs. aspects says what an audit examines in such a call.
type callID struct {
	arch uint32
	nr   int32
}

type aspects struct {
	name               string
	fd, forks, reaches bool
	takes              bool // the call needs a capability, at least with some arguments
}

// New returns an auditor, which finds what p would deny to the command c on the host h. It also returns a second,
// permissive profile: the caller must run the command under that profile, not under p. With callsOnly the filter does
// not notify for calls on files, which makes the audit cheap. The errors are those of sandbox.Compile.
func New(p *policy.Profile, h *host.Host, c *sandbox.Cmd, callsOnly bool) (*Auditor, *policy.Profile, error) {
	query, err := sandbox.NewQuery(p, h, c)
	if err != nil {
		return nil, nil, err
	}
	native, ok := filter.ParseArch(runtime.GOARCH)
	if !ok {
		return nil, nil, errors.New("no system call table for " + runtime.GOARCH)
	}
	plain, err := filter.Compile(query.Filter(), native)
	if err != nil {
		return nil, nil, err
	}
	a := &Auditor{root: -1, callsOnly: callsOnly, profile: p, query: query, files: h.Files, plain: plain, known: map[callID]*aspects{}, bounds: boundsOf(&p.Limits, callsOnly),
		kinds: map[kind]*Denial{}, places: map[place]*Denial{}, made: map[string]bool{}, bound: map[string]bool{}}
	a.spec = watching(query.Filter(), callsOnly, slices.Concat(reaches, a.bounds.calls()))
	if a.Recorder, err = record.Watch(a.spec, a.seen); err != nil {
		return nil, nil, err
	}
	if p.Root.Kind == policy.RootDir {
		return a, openRoot(p, h), nil
	}
	return a, open(p, h), nil
}

// keepRights makes the program of a privileged caller run as the caller, with the caller's capabilities.
func keepRights(out *policy.Profile, h *host.Host) {
	if !h.Privileged {
		return
	}
	out.Namespaces.User, out.User = policy.Namespace{Mode: policy.NSHost}, policy.User{Host: policy.HostCaller}
	out.Capabilities = policy.Capabilities{}
	for i := range h.LastCap + 1 {
		if name := policy.CapabilityName(i); name != "" && h.Permitted&(1<<i) != 0 {
			out.Capabilities.Keep = append(out.Capabilities.Keep, policy.Capability{Name: name})
		}
	}
}

// openRoot returns the profile for the audit of a profile whose root is a directory. It has the same root and mounts,
// but all of them are writable and nothing is hidden. It has the namespaces of p, but the host's network. If the caller
// is an ordinary user, it also has the ids of p.
func openRoot(p *policy.Profile, h *host.Host) *policy.Profile {
	out := record.Permissive(p)
	out.Limits, out.Hide, out.Missing = policy.Limits{}, nil, nil
	out.Root.Write = true
	out.Network, out.Namespaces.Net = policy.Network{Mode: policy.NetworkHost}, policy.Namespace{Mode: policy.NSHost}
	out.Mounts = slices.Clone(p.Mounts)
	for i := range out.Mounts {
		m := &out.Mounts[i]
		m.NoExec = false
		switch m.Kind {
		case policy.MountBind:
			m.Write = true
		case policy.MountProc:
			m.Mask, m.ReadOnly = policy.Opt[[]string]{Set: true}, policy.Opt[[]string]{Set: true}
		case policy.MountSysfs: // mounting sysfs needs rights over the network namespace
			if h.Privileged {
				continue
			}
			m.Kind, m.Source = policy.MountBind, "/sys"
		}
	}
	keepRights(out, h)
	return out
}

// Ready implements sandbox.Observer. If the profile's root is a directory, the auditor asks in the program's own tree
// what the caller itself may do.
func (a *Auditor) Ready(task int) error {
	if a.profile.Root.Kind == policy.RootDir {
		fd, err := unix.Open("/proc/"+strconv.Itoa(task)+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		a.root = fd
		a.files = a.files.At("/proc/self/fd/" + strconv.Itoa(fd))
	}
	return a.Recorder.Ready(task)
}

// Stop ends the audit. The caller must call Used before Stop.
func (a *Auditor) Stop() {
	a.Recorder.Stop()
	if a.root >= 0 {
		unix.Close(a.root)
		a.root = -1
	}
}

// open returns the profile under which an audited program runs: with the host's tree, network, processes and ids. The
// environment, the working directory and the terminal come from p. An ordinary user needs a user namespace for mounts;
// in it the task has its own id and no capability.
func open(p *policy.Profile, h *host.Host) *policy.Profile {
	host := policy.Namespace{Mode: policy.NSHost}
	out := &policy.Profile{
		Version: p.Version, Name: p.Name, Sources: p.Sources,
		Root:       policy.Root{Kind: policy.RootHost, Write: true},
		Namespaces: policy.Namespaces{PID: host, IPC: host, UTS: host, Cgroup: host, Net: host},
		Network:    policy.Network{Mode: policy.NetworkHost},
		Landlock:   policy.Landlock{Off: true},
		OnDenial:   policy.DenialSilent,
		Env:        p.Env, Process: p.Process, TTY: p.TTY,
	}
	keepRights(out, h)
	return out
}

// watching returns the filter of an audit. It notifies for the calls that the profile denies, for allowed calls that
// other layers check, and for the calls in others. It has no rule for execveat, because the launcher itself calls
// execveat to start the program.
func watching(profile filter.Spec, callsOnly bool, others []string) *filter.Spec {
	s := &filter.Spec{Default: profile.Default, Unknown: profile.Unknown, Foreign: profile.Foreign, Audit: true}
	s.Allow, s.Deny = without(profile.Allow), without(profile.Deny)
	for _, r := range profile.Rules {
		for _, call := range members(r.Call) {
			one := r
			one.Call = call
			s.Rules = append(s.Rules, one)
		}
	}
	shown := append([]string{"connect", "bind"}, others...)
	for i := range needs {
		shown = append(shown, needs[i].call)
	}
	if !callsOnly {
		shown = slices.Concat(shown, record.PathCalls(), record.AddressCalls())
	}
	slices.Sort(shown)
	for _, call := range slices.Compact(shown) {
		if call != execveat && !quieten(s, call) {
			s.Deny = append(s.Deny, filter.Item{Name: call})
		}
	}
	return s
}

// quieten makes the filter notify for an allowed call only if it is about something new. It returns false if that is
// not possible for the call.
func quieten(s *filter.Spec, call string) bool {
	about := func(name string) bool { return name == call || slices.Contains(filter.Members(name), call) }
	item := func(x filter.Item) bool { return about(x.Name) }
	if !slices.ContainsFunc(s.Allow, item) || slices.ContainsFunc(s.Deny, item) {
		return false
	}
	for _, q := range record.Quiet() {
		if q.Call == call {
			s.Rules = append(s.Rules, q)
			return true
		}
	}
	return false
}

const execveat = "execveat"

// members returns the calls of a group, or the call itself, but never execveat.
func members(name string) []string {
	calls := filter.Members(name)
	if calls == nil {
		calls = []string{name}
	}
	return slices.DeleteFunc(slices.Clone(calls), func(call string) bool { return call == execveat })
}

func without(items []filter.Item) (out []filter.Item) {
	for _, x := range items {
		if x.Name != execveat && !slices.Contains(filter.Members(x.Name), execveat) {
			out = append(out, x)
			continue
		}
		for _, call := range members(x.Name) {
			out = append(out, filter.Item{Name: call, From: x.From})
		}
	}
	return out
}

// Filter implements sandbox.Observer.
func (a *Auditor) Filter() *filter.Spec { return a.spec }

// Call implements sandbox.Observer.
func (a *Auditor) Call(c *sandbox.Call) {
	a.call = c
	if act := a.plain.Action(&c.Data); denies(act, a.spec.Default) {
		a.denied(act)
		return
	}
	switch is := a.aspects(); {
	case is.takes:
		if name := capability(is.name, &c.Args); name != "" {
			a.needs(name)
		}
	case is.reaches:
		a.reach()
	case is.forks:
		a.forks()
	}
	if a.aspects().fd && a.bounds.files > 0 {
		a.makesFD()
	}
	a.Recorder.Call(c)
}

// aspects returns what the audit examines in the present call.
func (a *Auditor) aspects() *aspects {
	id := callID{a.call.Arch, a.call.Nr}
	is := a.known[id]
	if is == nil {
		name := filter.Decode(&a.call.Data, nil).Call
		is = &aspects{name: name, fd: slices.Contains(fdCalls, name), reaches: slices.Contains(reaches, name),
			forks: a.bounds.tasks > 0 && slices.Contains(forkCalls, name), takes: slices.ContainsFunc(needs[:], func(n need) bool { return n.call == name })}
		if len(a.known) < maxKinds {
			a.known[id] = is
		}
	}
	return is
}

// denies reports whether a filter's action is a denial. ENOSYS is none, because it only makes libc use another call
// (clone3), unless ENOSYS is the filter's default.
func denies(a, deflt filter.Action) bool {
	noCall := filter.Action{Kind: filter.Errno, Errno: 38}
	return a.Kind != filter.Allow && a.Kind != filter.Log && (a != noCall || deflt == noCall)
}

// denied records a call that the profile's filter denies.
func (a *Auditor) denied(act filter.Action) {
	d := &a.call.Data
	k := kind{arch: d.Arch, nr: d.Nr, action: act}
	for i, m := range filter.Constants(d.Arch, d.Nr) {
		k.args[i] = d.Args[i] & m
	}
	a.count(k, func() *Denial { return &Denial{Reason: a.query.Denied(d, act), Basis: Filtered} })
}

// needs records a call that needs a capability which the profile does not give.
func (a *Auditor) needs(name string) {
	r, err := a.query.Capability(name)
	if err == nil && !r.Allowed {
		a.count(kind{arch: a.call.Arch, nr: a.call.Nr, cap: name}, func() *Denial { return &Denial{Reason: r, Object: name, Basis: Inferred} })
	}
}

// count counts one call of a kind, and adds the kind if it is new.
func (a *Auditor) count(k kind, fresh func() *Denial) {
	d := a.kinds[k]
	switch {
	case d != nil:
		d.Count++
	case len(a.kinds) == maxKinds:
		a.dropped++
	default:
		d = fresh()
		d.Count, a.kinds[k] = 1, d
		a.add(d)
	}
}

// add adds a denial. It fills in the calling process, which is known only while the call waits.
func (a *Auditor) add(d *Denial) {
	a.denials = append(a.denials, d)
	if a.call == nil {
		return
	}
	decoded := a.call.Decode()
	d.Comm, d.PID = a.call.Who()
	if !a.call.Waits() {
		decoded, d.Comm, d.PID = filter.Decode(&a.call.Data, nil), "", 0
	}
	d.Call = decoded.String()
	if decoded.Arch.String() != runtime.GOARCH {
		d.Arch = decoded.Arch.String()
	}
}

// layers lists the layers in the order in which the denials are sorted.
var layers = []string{string(policy.LayerSeccomp), string(policy.LayerMount), string(policy.LayerLandlock), "file", string(policy.LayerNoNewPriv),
	string(policy.LayerPID), string(policy.LayerNet), string(policy.LayerCaps), "limits"}

// Denials returns what the profile would have denied, sorted by layer. dropped is the number of calls of further kinds,
// which did not fit. The program must have ended.
func (a *Auditor) Denials() (list []Denial, dropped uint64) {
	for _, d := range a.denials {
		for _, e := range d.events {
			d.Count += e.Count
		}
		d.events = nil
		list = append(list, *d)
	}
	slices.SortStableFunc(list, func(x, y Denial) int {
		return slices.Index(layers, x.Reason.Layer) - slices.Index(layers, y.Reason.Layer)
	})
	for i := range list {
		list[i].Layer = list[i].Reason.Layer
	}
	return list, a.dropped + a.Dropped()
}
