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

	index map[string]int // of Events, by what they are
	exes  map[Executable]int
	key   []byte
}

// Header says what a recording is of. Append adds a run.
type Header struct {
	Arch string `json:"arch"` // of the machine: "amd64", as package filter names it
	Runs []Run  `json:"runs"`
}

// Run is one run of a program that was recorded.
type Run struct {
	Backend  string            `json:"backend"`            // "bpf", "notify", …
	Complete bool              `json:"complete"`           // proven: nothing that the back end sees was lost
	Why      []string          `json:"why,omitempty"`      // why not
	Lost     map[string]uint64 `json:"lost,omitempty"`     // how much of what: "events", "paths", "overflows", …
	Blind    []Kind            `json:"blind,omitempty"`    // kinds of events that the back end cannot see at all
	Kernel   string            `json:"kernel"`             // as uname -r prints it
	Started  time.Time         `json:"started"`            // wall clock
	Wall     time.Duration     `json:"wall_ns"`            // how long it ran
	Command  []string          `json:"command"`            // arguments; a recorder may cut them short, as the header's line is bounded
	Profile  string            `json:"profile,omitempty"`  // that it ran in
	Home     string            `json:"home,omitempty"`     // the caller's home directory, as paths of events have it
	Workdir  string            `json:"workdir,omitempty"`  // at the start, as paths of events have it
	Runtime  string            `json:"runtime,omitempty"`  // XDG_RUNTIME_DIR
	UID      uint32            `json:"uid"`                // the task's, in the sandbox
	GID      uint32            `json:"gid,omitempty"`      // the task's, in the sandbox
	Network  string            `json:"network,omitempty"`  // OwnNetwork, or "": the host's, or not known
	End      string            `json:"end,omitempty"`      // "exit 0", "signal 9", "interrupted"
	Launcher string            `json:"launcher,omitempty"` // the version that recorded it
}

// OwnNetwork is the network of a run in a separate network namespace without any connection to the outside.
const OwnNetwork = "own"

// Complete reports whether every run is complete.
func (h *Header) Complete() bool {
	return len(h.Runs) > 0 && !slices.ContainsFunc(h.Runs, func(r Run) bool { return !r.Complete })
}

// notShown begins a reason of Run.Why that lists system calls which the back end leaves out: by their names alone, or, parted
// by semicolons, each with what it is about.
const notShown = "not shown: "

// Unseen lists the calls that the back end does not show, or does not show with every argument. Their absence from the
// recording proves nothing.
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
	Path    string // as /proc/PID/exe has it in the sandbox
	BuildID string // of its ELF notes, in hexadecimal; "" if it has none
	Static  bool   // without an interpreter: no dynamic loader
}

// Kind is the kind of an event.
type Kind string

// The kinds of events, and what each has set besides Exe and Count.
const (
	KindCall Kind = "call" // Call, Arch, Args, Errno: a system call with the arguments that matter
	KindPath Kind = "path" // Path, Via, Access, Type, Errno: a file and what was done with it
	KindNet  Kind = "net"  // Net, Errno: an address, and what was done with it
	KindCap  Kind = "cap"  // Cap, By, Errno: a capability, and what asked for it
	KindExec Kind = "exec" // Path, Via, Errno: an executable that was run; Exe is who ran it
	KindPeak Kind = "peak" // Peak, Value: the most that was used at once; Exe -1 for all together
)

// kinds in their canonical order.
var kinds = [...]Kind{KindCall, KindPath, KindNet, KindCap, KindExec, KindPeak}

// Event is one kind of thing that was done, and how often. Which fields mean something its Kind says.
type Event struct {
	Kind  Kind
	Exe   int    // index into Executables: who did it; -1 where it is not known, or for all
	Count uint64 // how often, at least 1; of a peak 1
	Errno string // "ENOENT": the one outcome where it never succeeded; "" if it did, or is not known

	Call string // name as package filter has it, "#451" for a number that its tables do not have
	Arch string // where it is not the header's: "i386", "x32"
	Args []Arg  // those of [Watched], masked, in the order of their registers

	Path   string // absolute, as the sandbox sees it, links resolved
	Via    string // the absolute path that was asked for, where links led from it to Path
	Access Access
	Type   FileType

	Net Net

	Cap string // without CAP_: "NET_BIND_SERVICE"
	By  string // a call ("bind") or a function of the kernel; "" if unknown

	Peak  Peak
	Value uint64

	Line int // where it was read, from 1; not part of the event
}

// Arg is an argument of a call by the name that rules use.
type Arg struct {
	Name  string
	Value uint64 // masked as Watched says
}

// Access is a set of things that were done with a file.
type Access uint32

// The ways to touch a file, by the right of the sandbox that each needs.
const (
	Read     Access = 1 << iota // open for reading, readlink, getxattr, …
	Write                       // open for writing
	Create                      // a file that was not there: open with O_CREAT, mkdir, mknod, symlink, bind of a socket
	Execute                     // execve, and what it loads: the interpreter of a script, the dynamic loader
	Map                         // mmap with PROT_EXEC: shared libraries
	List                        // the names in a directory
	Stat                        // stat, access, and other looks at a name
	Delete                      // unlink, rmdir
	Rename                      // to and from; rename makes two events
	Link                        // a hard link to it, or made there
	Truncate                    // truncate, or open with O_TRUNC
	Attr                        // chmod, chown, utime, setxattr
	Ioctl                       // ioctl on a device
	Connect                     // connect to the socket
	Chdir                       // chdir, chroot
	Mount                       // mount on it
	accessEnd
)

var accessNames = [...]string{"read", "write", "create", "execute", "map", "list", "stat", "delete", "rename", "link", "truncate", "attr", "ioctl", "connect", "chdir", "mount"}

// AllAccess has every way.
const AllAccess = accessEnd - 1

// Writes are the ways that change the file or its directory.
const Writes = Write | Create | Delete | Rename | Link | Truncate | Attr | Mount

// Names are the words for the ways in a, in their order.
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

// The types of files.
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

// Net is an address of a socket.
type Net struct {
	Op     string // "connect", "bind", "send"
	Family string // "inet", "inet6", "unix", "netlink", …: AF_ in lower case, or a number
	Proto  string // "tcp", "udp", "sctp", …; "" if unknown
	Addr   string // "127.0.0.1", "::1"; of unix an abstract name with @ in front, "" for none (a path is a path event)
	Port   uint16
	Name   string // that was looked up and gave the address; "" if unknown
}

var netOps = [...]string{"connect", "bind", "send"}

// Peak names a resource whose highest use is recorded.
type Peak string

// The peaks.
const (
	PeakMemory  Peak = "memory"  // bytes: of an executable the largest resident set, of all the sandbox's
	PeakPIDs    Peak = "pids"    // processes and threads at once, as pids.max counts
	PeakThreads Peak = "threads" // of one process
	PeakFiles   Peak = "files"   // descriptors open in one process
	PeakFile    Peak = "file"    // bytes: the largest file written
	PeakCPU     Peak = "cpu"     // nanoseconds, user and system together
)

var peaks = [...]Peak{PeakMemory, PeakPIDs, PeakThreads, PeakFiles, PeakFile, PeakCPU}

// Executable gives an executable its index.
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

// Add counts an event; an event that the recording already has gets a higher count. Add refuses an invalid event with
// an error. Two events of one file that differ only in the access become one. If only one of them has a known outcome,
// or their outcomes differ, the merged event has none.
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

// join adds an event of the same identity.
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

// identity is what two events have in common that are counted as one.
func (e *Event) identity(b []byte) []byte {
	b = append(b, e.Kind...)
	b = strconv.AppendInt(append(b, 0), int64(e.Exe), 10)
	for _, s := range [...]string{e.Call, e.Arch, e.Path, e.Via, e.Net.Op, e.Net.Family, e.Net.Proto, e.Net.Addr, e.Cap, e.By, string(e.Peak)} {
		b = append(append(b, 0), s...)
	}
	if e.Kind == KindPath { // what was not there is read when it was made: two things
		b = append(append(b, 0), e.Errno...)
	}
	b = strconv.AppendUint(append(b, 0), uint64(e.Net.Port), 10)
	for _, a := range e.Args {
		b = strconv.AppendUint(append(append(append(b, 0), a.Name...), '='), a.Value, 10)
	}
	return b
}

// Merge adds another recording of the same architecture: its runs, executables and events.
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

// Sort puts everything in canonical order: executables by path, events by kind, executable and what they are.
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
	events := make([]*Event, len(r.Events)) // an event is large to move
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
		cmp.Compare(e.Errno, o.Errno), // only of a path is there more than one
	)
}

func compareArgs(a, b []Arg) int {
	return slices.CompareFunc(a, b, func(x, y Arg) int { return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.Value, y.Value)) })
}

func (n *Net) compare(o *Net) int {
	return cmp.Or(cmp.Compare(n.Op, o.Op), cmp.Compare(n.Family, o.Family), cmp.Compare(n.Proto, o.Proto),
		cmp.Compare(n.Addr, o.Addr), cmp.Compare(n.Port, o.Port), cmp.Compare(n.Name, o.Name))
}
