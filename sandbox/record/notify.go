package record

// This file is the notify back end: seccomp_unotify(2). If the filter notifies for a call, the call waits until the
// recorder has examined it, and then continues. Every user who can start a sandbox can use this back end.

import (
	"encoding/binary"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy/filter"
	"cordon/policy/recording"
	"cordon/sandbox"
)

// notify is the back end.
type notify struct {
	*gather
	spec  *filter.Spec
	all   bool          // the filter notifies for every call
	tasks map[int]known // what is known about each thread
	root  int           // the task's root directory
	begun bool          // the first program has been recorded

	servers map[descriptor]bool // sockets that are connected to a name server, or have sent to one
	sampler sampler

	buf  [unix.PathMax]byte // buffer for text from a task's memory
	proc struct{ tid, fd int }
}

// descriptor identifies a descriptor of a process.
type descriptor struct{ group, fd int }

// maxServers bounds the number of sockets in notify.servers.
const maxServers = 1 << 12

// known holds what the recorder has found out about a thread. It is valid for a second, because another thread may get
// the same id.
type known struct {
	exe   int
	group int
	at    time.Time
}

const believed = time.Second

// Filter implements sandbox.Observer.
func (n *notify) Filter() *filter.Spec { return n.spec }

// Ready implements sandbox.Observer. It opens the root directory of the task. The mounts are complete by then.
func (n *notify) Ready(task int) (err error) {
	if n.root, err = unix.Open(procPath(task, "root"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return err
	}
	if n.seen == nil { // a caller that wants events as they happen does not need peaks
		n.sampler.start(n.gather, Parent(task))
	}
	return nil
}

// Call implements sandbox.Observer.
func (n *notify) Call(c *sandbox.Call) {
	n.mu.Lock()
	defer n.mu.Unlock()
	what := n.call(c.Arch, c.Nr)
	if what == nil {
		return
	}
	exe, ok := n.executable(c)
	if !ok { // the task was killed meanwhile
		n.lost["calls"]++
		return
	}
	f := callFact{exe: exe, arch: c.Arch, nr: c.Nr}
	for i, g := range what.gates {
		if g.Reg >= 0 {
			f.args[i] = c.Args[g.Reg] & g.Mask
		} else {
			f.args[i] = behind(c, what.name, -1-g.Reg) & g.Mask
		}
	}
	n.countCall(f, 1)
	for i := range what.paths {
		n.path(c, exe, &what.paths[i])
	}
	if what.addr != nil {
		n.address(c, exe, what.addr)
	}
	switch what.name {
	case "mmap", "mmap2":
		n.maps(c, exe)
	case "recvfrom", "recvmsg", "read": // the filter notifies for recvmsg and read only if it does for all calls
		n.answer(c, exe)
	case "execve", "execveat": // the thread may run another program at its next call
		delete(n.tasks, n.tasks[c.TID].group)
		delete(n.tasks, c.TID)
	}
}

// behind returns a word of the structure, in the task's memory, that holds a call's arguments.
func behind(c *sandbox.Call, name string, word int) uint64 {
	var buf [8]byte
	if c.Memory(c.Args[recording.Pointer(name)]+uint64(8*word), buf[:]) < len(buf) {
		return 0 // the call will fail with EFAULT
	}
	return binary.LittleEndian.Uint64(buf[:])
}

// executable returns the index of the executable that the calling thread runs. ok is false if the thread has ended.
func (n *notify) executable(c *sandbox.Call) (exe int, ok bool) {
	now := time.Now()
	if k, found := n.tasks[c.TID]; found && now.Sub(k.at) < believed {
		return k.exe, true
	}
	x, ok := n.program(c.TID)
	group, _ := strconv.Atoi(status(c.TID, "Tgid")[0])
	if !ok || !c.Waits() {
		return 0, false
	}
	if len(n.tasks) > 1<<15 {
		clear(n.tasks)
	}
	exe = n.gather.executable(x)
	n.tasks[c.TID] = known{exe, group, now}
	if exe == 0 && !n.begun {
		n.begun = true
		n.begins(n.root, x.Path)
	}
	return exe, true
}

// path records one path of a call.
func (n *notify) path(c *sandbox.Call, exe int, p *pathArg) {
	name, ok := n.text(c, c.Args[p.path])
	if !ok {
		return // the kernel cannot read it either, and returns EFAULT
	}
	want := wants(c, p)
	if name == "" && (want != recording.Execute || p.dir == noFD) {
		return // the call fails with ENOENT, or is about the descriptor itself
	}
	dir := ""
	if !strings.HasPrefix(name, "/") {
		fd := atFDCWD
		if p.dir != noFD {
			fd = int(int32(c.Args[p.dir]))
		}
		if dir, ok = n.base(c.TID, fd); !ok {
			return // the call will fail with EBADF
		}
	}
	asked, follow := join(dir, name), p.follows(&c.Args)
	f := fact{exe, recording.KindPath, asked, uint32(want) << 1}
	if follow {
		f.bits |= 1
	}
	if n.again(f) {
		return
	}
	if !c.Waits() {
		n.lost["paths"]++
		return
	}
	var found found
	if plain(name, follow) {
		found = look(n.root, asked)
	} else {
		found = resolve(n.root, asked, follow)
	}
	e := found.event(asked, want)
	n.add(f, e)
	n.through(n.root, exe, &e)
	if want == recording.Execute && found.exists {
		n.executes(exe, n.root, found.path, asked)
	}
}

// wants returns the access to the path for which the call asks.
func wants(c *sandbox.Call, p *pathArg) recording.Access {
	if i := openFlags(p.call); i != noFD {
		return opens(c.Args[i])
	}
	if p.call == "openat2" {
		return opens(behind(c, p.call, 0))
	}
	return p.want
}

// base returns the directory from which a relative path starts: the working directory, or an open directory. It keeps
// the thread's directory in /proc open. So that directory cannot become another thread's, and later accesses are
// faster.
func (n *notify) base(tid, dirfd int) (string, bool) {
	name := "cwd"
	if dirfd != atFDCWD {
		name = "fd/" + strconv.Itoa(dirfd)
	}
	for range 2 {
		if n.proc.tid != tid {
			unix.Close(n.proc.fd)
			fd, err := unix.Open("/proc/"+strconv.Itoa(tid), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			if err != nil {
				fd = -1
			}
			n.proc.tid, n.proc.fd = tid, fd
		}
		k, err := unix.Readlinkat(n.proc.fd, name, n.buf[:])
		if err == nil {
			return string(n.buf[:k]), k < len(n.buf)
		}
		n.proc.tid = 0 // the thread may have ended, so the directory in /proc is opened again
	}
	return "", false
}

// maps records a file that the call maps into memory as code.
func (n *notify) maps(c *sandbox.Call, exe int) {
	if c.Args[2]&unix.PROT_EXEC == 0 || c.Args[3]&unix.MAP_ANONYMOUS != 0 {
		return
	}
	name, ok := link(procPath(c.TID, "fd/"+strconv.Itoa(int(int32(c.Args[4])))))
	if ok && strings.HasPrefix(name, "/") && c.Waits() {
		n.mapped(exe, name)
	}
}

// address records the socket address in a call.
func (n *notify) address(c *sandbox.Call, exe int, a *addrArg) {
	size := min(c.Args[a.len]&0xffffffff, 128)
	if c.Args[a.addr] == 0 || size < 2 {
		return
	}
	buf := make([]byte, size)
	if got := c.Memory(c.Args[a.addr], buf); got < len(buf) || !c.Waits() {
		return
	}
	net, path := sockaddr(buf)
	net.Op = a.what
	if net.Port == dnsPort && a.what != "bind" && len(n.servers) < maxServers {
		n.servers[descriptor{n.tasks[c.TID].group, int(int32(c.Args[0]))}] = true
	}
	if path == "" {
		f := fact{exe, recording.KindNet, a.what + string(buf), 0}
		if !n.again(f) {
			net.Proto = protocol(c.TID, int(int32(c.Args[0])))
			n.add(f, recording.Event{Net: net})
		}
		return
	}
	dir, _ := link(procPath(c.TID, "cwd"))
	want := recording.Connect
	if a.what == "bind" {
		want = recording.Create
	}
	f := fact{exe, recording.KindPath, join(dir, path), uint32(want) << 1}
	if !n.again(f) {
		found := resolve(n.root, f.text, want == recording.Connect)
		n.add(f, found.event(f.text, want))
	}
}

// answer reads the answer of a name server that the call is about to receive, if the answer has arrived. It reads from
// a copy of the program's socket and leaves the data there: pidfd_getfd(2), Linux 5.6.
func (n *notify) answer(c *sandbox.Call, exe int) {
	d := descriptor{n.tasks[c.TID].group, int(int32(c.Args[0]))}
	if !n.servers[d] {
		return
	}
	process, err := unix.PidfdOpen(d.group, 0)
	if err != nil {
		return
	}
	defer unix.Close(process)
	socket, err := unix.PidfdGetfd(process, d.fd, 0)
	if err != nil || !c.Waits() {
		return
	}
	defer unix.Close(socket)
	var buf [maxAnswer]byte
	size, from, err := unix.Recvfrom(socket, buf[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	if err == nil && serves(from) {
		n.answered(exe, buf[:size])
	}
}

// serves reports whether an address has the port of a name server.
func serves(from unix.Sockaddr) bool {
	switch a := from.(type) {
	case *unix.SockaddrInet4:
		return a.Port == dnsPort
	case *unix.SockaddrInet6:
		return a.Port == dnsPort
	}
	return false
}

// text reads a path from a task's memory. No read crosses the end of a page, because the next page may not be mapped.
func (n *notify) text(c *sandbox.Call, addr uint64) (string, bool) {
	buf := &n.buf
	const page, chunk = 4096, 256
	for got := 0; got < len(buf); {
		at := addr + uint64(got)
		want := min(len(buf)-got, chunk, int(page-at%page))
		k := c.Memory(at, buf[got:got+want])
		for i := got; i < got+k; i++ {
			if buf[i] == 0 {
				return string(buf[:i]), true
			}
		}
		if k < want {
			return "", false
		}
		got += k
	}
	return "", false // the call will fail with ENAMETOOLONG
}

func newNotify(native filter.Arch, all bool) *notify {
	var foreign []filter.Arch
	for _, a := range filter.Arches() {
		if native.Hosts(a) {
			foreign = append(foreign, a)
		}
	}
	n := &notify{gather: newGather(native), spec: watching(all, foreign), all: all, tasks: map[int]known{}, servers: map[descriptor]bool{}, root: -1}
	n.proc.fd = -1
	return n
}

func (n *notify) facts() *gather { return n.gather }

func (n *notify) stop() {
	n.sampler.stop()
	for _, fd := range []*int{&n.root, &n.proc.fd} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}

// limits lists the calls for which the filter does not notify, and the kinds of events that no filter can see.
func (n *notify) limits() (why []string, blind []recording.Kind) {
	if !n.all {
		var unseen []string
		for _, g := range gates {
			unseen = append(unseen, g.why)
		}
		why = append(why, "not shown: "+strings.Join(hot[:], " "), "not shown: "+strings.Join(unseen, "; "))
	}
	return why, []recording.Kind{recording.KindCap}
}
