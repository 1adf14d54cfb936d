package recording

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Version is the version of the format that this package writes, and the newest version that it reads.
const Version = 1

// Recording holds everything that one or several runs did. The zero Recording is empty and ready for use.
type Recording struct {
	Header      Header
	Executables []Executable
	Events      []Event

	index map[string]int // indexes of Events, by identity
	exes  map[Executable]int
	key   []byte
}

// Header says which machine and which runs a recording is about. Merge adds the runs of another header.
type Header struct {
	Arch string `json:"arch"` // the machine's architecture, by its name in package filter: "amd64"
	Runs []Run  `json:"runs"`
}

// Run is one run of a program that was recorded.
type Run struct {
	Backend  string            `json:"backend"`            // "bpf", "notify", …
	Complete bool              `json:"complete"`           // certainly nothing that the back end can see was lost
	Why      []string          `json:"why,omitempty"`      // why it is incomplete, and what the back end does not record
	Lost     map[string]uint64 `json:"lost,omitempty"`     // what was lost, and how much: "events", "paths", …
	Blind    []Kind            `json:"blind,omitempty"`    // kinds of events that the back end cannot see
	Kernel   string            `json:"kernel"`             // as uname -r prints it
	Started  time.Time         `json:"started"`            // wall clock
	Wall     time.Duration     `json:"wall_ns"`            // how long the run took
	Command  []string          `json:"command"`            // may be cut short, because a line is bounded
	Profile  string            `json:"profile,omitempty"`  // the profile that the program ran in
	Home     string            `json:"home,omitempty"`     // the caller's home directory, as the events write it
	Workdir  string            `json:"workdir,omitempty"`  // the working directory at the start, as the events write it
	Runtime  string            `json:"runtime,omitempty"`  // XDG_RUNTIME_DIR
	UID      uint32            `json:"uid"`                // the task's user id in the sandbox
	GID      uint32            `json:"gid,omitempty"`      // the task's group id in the sandbox
	Network  string            `json:"network,omitempty"`  // OwnNetwork; "" if it was the host's or is not known
	End      string            `json:"end,omitempty"`      // "exit 0", "signal 9", "interrupted"
	Launcher string            `json:"launcher,omitempty"` // the version of cordon that made the recording
}

// OwnNetwork is the network of a run in a separate network namespace without any connection to the outside.
const OwnNetwork = "own"

// Complete reports whether every run is complete.
func (h *Header) Complete() bool {
	return len(h.Runs) > 0 && !slices.ContainsFunc(h.Runs, func(r Run) bool { return !r.Complete })
}

// notShown begins a reason in Run.Why. The reason lists system calls that the back end leaves out. The list consists of
// names only, or of parts separated by semicolons; each part then begins with a name and says what is left out.
const notShown = "not shown: "

// Unseen lists the calls that the back end does not show, or shows without some of their arguments. If the recording
// does not contain such a call, that proves nothing.
func (r *Run) Unseen() (calls []string) {
	for _, why := range r.Why {
		list, ok := strings.CutPrefix(why, notShown)
		if !ok {
			continue
		}
		if !strings.Contains(list, ";") {
			calls = append(calls, strings.Fields(list)...)
			continue
		}
		for part := range strings.SplitSeq(list, ";") {
			calls = append(calls, strings.Fields(part)[:min(1, len(strings.Fields(part)))]...)
		}
	}
	return calls
}

// Executable is a program that ran.
type Executable struct {
	Path    string // as /proc/PID/exe shows it in the sandbox
	BuildID string // from its ELF notes, in hexadecimal; "" if it has none
	Static  bool   // it has no interpreter (dynamic loader)
}

// Kind is the kind of an event.
type Kind string

// These are the kinds of events. Each comment lists the fields that an event of the kind sets besides Exe and Count.
const (
	KindCall Kind = "call" // Call, Arch, Args, Errno: a system call with the arguments that matter
	KindPath Kind = "path" // Path, Via, Access, Type, Errno: a file, and what the program did with it
	KindNet  Kind = "net"  // Net, Errno: an address, and what the program did with it
	KindCap  Kind = "cap"  // Cap, By, Errno: a capability, and what asked for it
	KindExec Kind = "exec" // Path, Via, Errno: an executable that was run; Exe is the program that ran it
	KindPeak Kind = "peak" // Peak, Value: the highest use at one time; Exe is -1 for all together
)

// kinds lists the kinds in canonical order.
var kinds = [...]Kind{KindCall, KindPath, KindNet, KindCap, KindExec, KindPeak}

// Event is one kind of thing that a program did, and how often it did so. Its Kind says which fields have a meaning.
type Event struct {
	Kind  Kind
	Exe   int    // index into Executables of the program that did it; -1 if unknown, or for all
	Count uint64 // how often, at least 1; always 1 for a peak
	Errno string // "ENOENT": the only outcome, if it never succeeded; "" if it did, or if unknown

	Call string // the call's name in package filter; "#451" for a number that its tables lack
	Arch string // if it is not the header's: "i386", "x32"
	Args []Arg  // the arguments in [Watched], masked, in the order of their registers

	Path   string // absolute, as the sandbox sees it, with all links resolved
	Via    string // the absolute path that the program used, if links led from it to Path
	Access Access
	Type   FileType

	Net Net

	Cap string // without CAP_: "NET_BIND_SERVICE"
	By  string // a call ("bind") or a function of the kernel; "" if unknown

	Peak  Peak
	Value uint64

	Line int // the line that it was read from, from 1; not part of the event
}

// Arg is an argument of a call, by the name that rules use.
type Arg struct {
	Name  string
	Value uint64 // masked as Watched says
}

// Access is a set of ways to use a file.
type Access uint32

// These are the ways to use a file. Each needs a right of its own in the sandbox.
const (
	Read     Access = 1 << iota // open for reading, readlink, getxattr, …
	Write                       // open for writing
	Create                      // a new file: open with O_CREAT, mkdir, mknod, symlink, bind of a socket
	Execute                     // execve, and the files that it loads: the interpreter of a script, the dynamic loader
	Map                         // mmap with PROT_EXEC: shared libraries
	List                        // list a directory
	Stat                        // stat, access, and other checks of a name
	Delete                      // unlink, rmdir
	Rename                      // the old or the new name; a rename makes two events
	Link                        // make a hard link: the file, or the new name
	Truncate                    // truncate, or open with O_TRUNC
	Attr                        // chmod, chown, utime, setxattr
	Ioctl                       // ioctl on a device
	Connect                     // connect to the socket
	Chdir                       // chdir, chroot
	Mount                       // mount something on it
	accessEnd
)

var accessNames = [...]string{"read", "write", "create", "execute", "map", "list", "stat", "delete", "rename", "link", "truncate", "attr", "ioctl", "connect", "chdir", "mount"}

// AllAccess contains every way.
const AllAccess = accessEnd - 1

// Writes are the ways that change the file or its directory.
const Writes = Write | Create | Delete | Rename | Link | Truncate | Attr | Mount

// Names returns the words for the ways in a, in canonical order.
func (a Access) Names() []string {
	var names []string
	for i, name := range accessNames {
		if a&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

func (a Access) String() string { return strings.Join(a.Names(), ", ") }

// ParseAccess returns the access with that name, or 0 if there is none.
func ParseAccess(name string) Access {
	if i := slices.Index(accessNames[:], name); i >= 0 {
		return 1 << i
	}
	return 0
}

// FileType is the kind of file that a path names.
type FileType string

// These are the types of files.
const (
	TypeUnknown FileType = ""
	TypeFile    FileType = "file"
	TypeDir     FileType = "dir"
	TypeLink    FileType = "symlink"
	TypeSocket  FileType = "socket"
	TypeFIFO    FileType = "fifo"
	TypeChar    FileType = "char"
	TypeBlock   FileType = "block"
)

var fileTypes = [...]FileType{TypeUnknown, TypeFile, TypeDir, TypeLink, TypeSocket, TypeFIFO, TypeChar, TypeBlock}

// Net is the address of a socket.
type Net struct {
	Op     string // "connect", "bind", "send"
	Family string // "inet", "inet6", "unix", "netlink", …: AF_ in lower case, or a number
	Proto  string // "tcp", "udp", "sctp", …; "" if unknown
	Addr   string // "127.0.0.1", "::1"; for unix an abstract name after @; "" for none (a path is a path event)
	Port   uint16
	Name   string // the name whose lookup gave the address; "" if unknown
}

var netOps = [...]string{"connect", "bind", "send"}

// Peak names a resource whose highest use is recorded.
type Peak string

// These are the peaks.
const (
	PeakMemory  Peak = "memory"  // bytes: an executable's largest resident set, or the whole sandbox's memory
	PeakPIDs    Peak = "pids"    // processes and threads at once, as pids.max counts
	PeakThreads Peak = "threads" // threads of one process
	PeakFiles   Peak = "files"   // descriptors open in one process
	PeakFile    Peak = "file"    // bytes: the largest file written
	PeakCPU     Peak = "cpu"     // nanoseconds, user and system together
)

var peaks = [...]Peak{PeakMemory, PeakPIDs, PeakThreads, PeakFiles, PeakFile, PeakCPU}

// Executable returns the index of an executable. It adds the executable if the recording does not have it.
func (r *Recording) Executable(x Executable) int {
	if r.exes == nil {
		r.exes = make(map[Executable]int)
		for i, x := range r.Executables {
			r.exes[x] = i
		}
	}
	i, ok := r.exes[x]
	if !ok {
		i = len(r.Executables)
		r.exes[x] = i
		r.Executables = append(r.Executables, x)
	}
	return i
}

// Knows reports whether the recording has an executable.
func (r *Recording) Knows(x Executable) bool {
	if r.exes == nil {
		return slices.Contains(r.Executables, x)
	}
	_, ok := r.exes[x]
	return ok
}

// Add counts an event. If the recording already has the event, its count grows. Add refuses an invalid event with an
// error. Two events about one file that differ only in their access become one event. If only one of two events has a
// known outcome, or if their outcomes differ, the merged event has no outcome.
func (r *Recording) Add(e *Event) error {
	if err := e.check(len(r.Executables)); err != nil {
		return err
	}
	if r.index == nil {
		r.index = make(map[string]int, len(r.Events))
		for i := range r.Events {
			r.key = r.Events[i].identity(r.key[:0])
			r.index[string(r.key)] = i
		}
	}
	r.key = e.identity(r.key[:0])
	i, ok := r.index[string(r.key)]
	if !ok {
		r.index[string(r.key)] = len(r.Events)
		r.Events = append(r.Events, *e)
		return nil
	}
	r.Events[i].join(e)
	return nil
}

// join merges an event with the same identity into e.
func (e *Event) join(o *Event) {
	if e.Kind == KindPeak {
		e.Value = max(e.Value, o.Value)
		return
	}
	e.Access |= o.Access
	if e.Count += o.Count; e.Count < o.Count {
		e.Count = 1<<64 - 1
	}
	if e.Errno != o.Errno {
		e.Errno = ""
	}
	if e.Type == "" {
		e.Type = o.Type
	}
	if e.Net.Name == "" {
		e.Net.Name = o.Net.Name
	}
}

// identity appends to b a key for the event. Two events with the same key are counted as one.
func (e *Event) identity(b []byte) []byte {
	b = append(b, e.Kind...)
	b = strconv.AppendInt(append(b, 0), int64(e.Exe), 10)
	for _, s := range [...]string{e.Call, e.Arch, e.Path, e.Via, e.Net.Op, e.Net.Family, e.Net.Proto, e.Net.Addr, e.Cap, e.By, string(e.Peak)} {
		b = append(append(b, 0), s...)
	}
	if e.Kind == KindPath { // a missing path may exist and be read later, as a second event
		b = append(append(b, 0), e.Errno...)
	}
	b = strconv.AppendUint(append(b, 0), uint64(e.Net.Port), 10)
	for _, a := range e.Args {
		b = strconv.AppendUint(append(append(append(b, 0), a.Name...), '='), a.Value, 10)
	}
	return b
}

// Merge adds the runs, executables and events of another recording. Both must be of the same architecture.
func (r *Recording) Merge(o *Recording) error {
	if err := r.Header.Merge(&o.Header); err != nil {
		return err
	}
	exe := make([]int, len(o.Executables))
	for i, x := range o.Executables {
		exe[i] = r.Executable(x)
	}
	for i := range o.Events {
		e := o.Events[i]
		if e.Exe >= 0 && e.Exe < len(exe) {
			e.Exe = exe[e.Exe]
		}
		if err := r.Add(&e); err != nil {
			return err
		}
	}
	return nil
}

// Merge adds another header's runs.
func (h *Header) Merge(o *Header) error {
	if h.Arch != "" && o.Arch != "" && h.Arch != o.Arch {
		return fmt.Errorf("a recording of %s and one of %s do not go together", h.Arch, o.Arch)
	}
	h.Arch = cmp.Or(h.Arch, o.Arch)
	h.Runs = append(h.Runs, o.Runs...)
	return nil
}

// Sort puts everything in canonical order: executables by path, and events by kind, executable and content.
func (r *Recording) Sort() {
	order := make([]int, len(r.Executables))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		x, y := r.Executables[a], r.Executables[b]
		return cmp.Or(cmp.Compare(x.Path, y.Path), cmp.Compare(x.BuildID, y.BuildID))
	})
	to, sorted := make([]int, len(order)), make([]Executable, len(order))
	for i, from := range order {
		to[from], sorted[i] = i, r.Executables[from]
	}
	r.Executables = sorted
	for i := range r.Events {
		if e := &r.Events[i]; e.Exe >= 0 && e.Exe < len(to) {
			e.Exe = to[e.Exe]
		}
	}
	events := make([]*Event, len(r.Events)) // pointers, because an event is large to move
	for i := range events {
		events[i] = &r.Events[i]
	}
	slices.SortStableFunc(events, (*Event).compare)
	moved := make([]Event, len(events))
	for i, e := range events {
		moved[i] = *e
	}
	r.Events, r.index, r.exes = moved, nil, nil
}

func (e *Event) compare(o *Event) int {
	if e.Kind != o.Kind {
		return cmp.Compare(slices.Index(kinds[:], e.Kind), slices.Index(kinds[:], o.Kind))
	}
	if e.Exe != o.Exe {
		return cmp.Compare(e.Exe, o.Exe)
	}
	return cmp.Or(
		cmp.Compare(e.Call, o.Call), cmp.Compare(e.Arch, o.Arch), compareArgs(e.Args, o.Args),
		cmp.Compare(e.Path, o.Path), cmp.Compare(e.Via, o.Via),
		e.Net.compare(&o.Net),
		cmp.Compare(e.Cap, o.Cap), cmp.Compare(e.By, o.By),
		cmp.Compare(slices.Index(peaks[:], e.Peak), slices.Index(peaks[:], o.Peak)),
		cmp.Compare(e.Errno, o.Errno), // only events about paths can still be equal here
	)
}

func compareArgs(a, b []Arg) int {
	return slices.CompareFunc(a, b, func(x, y Arg) int { return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.Value, y.Value)) })
}

func (n *Net) compare(o *Net) int {
	return cmp.Or(cmp.Compare(n.Op, o.Op), cmp.Compare(n.Family, o.Family), cmp.Compare(n.Proto, o.Proto),
		cmp.Compare(n.Addr, o.Addr), cmp.Compare(n.Port, o.Port), cmp.Compare(n.Name, o.Name))
}
