package record

// This file is the notify back end: seccomp_unotify(2). Every call that the filter shows waits until the recorder has
// looked at it, and then continues. This works for every user who can start a sandbox.

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
	all   bool          // the filter shows every call
	tasks map[int]known // by thread
	root  int           // the task's root directory
	begun bool          // the first program is recorded

	servers map[descriptor]bool // the sockets that were connected to a name server, or sent to one
	sampler sampler

	buf  [unix.PathMax]byte // for text read from a task
	proc struct{ tid, fd int }
}

// descriptor is a descriptor of a process.
type descriptor struct{ group, fd int }

// maxServers is how many sockets notify.servers may have.
const maxServers = 1 << 12

// known holds what was found out about a thread. It is valid for a second, because the thread's number may then belong
// to another.
type known struct {
	exe   int
	group int
	at    time.Time
}

const believed = time.Second

// Filter is part of sandbox.Observer.
func (n *notify) Filter() *filter.Spec { return n.spec }

// Ready is part of sandbox.Observer. It opens the root directory of the task, which is complete by now.
func (n *notify) Ready(task int) (err error) {
	if n.root, err = unix.Open(procPath(task, "root"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return err
	}
	if n.seen == nil { // a caller that watches events as they come in does not need peaks
		n.sampler.start(n.gather, Parent(task))
	}
	return nil
}

// Call is part of sandbox.Observer.
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
	case "recvfrom", "recvmsg", "read": // the filter shows the last two only if it shows all calls
		n.answer(c, exe)
	case "execve", "execveat": // the thread and its process may run another program at the next call
		delete(n.tasks, n.tasks[c.TID].group)
		delete(n.tasks, c.TID)
	}
}

// behind returns a word of the structure that holds a call's arguments.
func behind(c *sandbox.Call, name string, word int) uint64 {
	var buf [8]byte
	if c.Memory(c.Args[recording.Pointer(name)]+uint64(8*word), buf[:]) < len(buf) {
		return 0 // EFAULT
	}
	return binary.LittleEndian.Uint64(buf[:])
}

// executable returns the number of the executable that the calling thread runs. ok is false if the thread has ended.
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
		return // the kernel cannot read it either: EFAULT
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
			return // EBADF
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

// wants returns how the call uses the path.
func wants(c *sandbox.Call, p *pathArg) recording.Access {
	if i := openFlags(p.call); i != noFD {
		return opens(c.Args[i])
	}
	if p.call == "openat2" {
		return opens(behind(c, p.call, 0))
	}
	return p.want
}

// base returns the directory at which a relative path starts: the working directory, or an open directory. It keeps
// the thread's directory in /proc open. So the directory cannot become that of another thread, and lookups in it are
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
		n.proc.tid = 0 // the thread may have ended, and another may have its number: open the directory again
	}
	return "", false
}

// maps records a file that the call maps as code.
func (n *notify) maps(c *sandbox.Call, exe int) {
	if c.Args[2]&unix.PROT_EXEC == 0 || c.Args[3]&unix.MAP_ANONYMOUS != 0 {
		return
	}
	name, ok := link(procPath(c.TID, "fd/"+strconv.Itoa(int(int32(c.Args[4])))))
	if ok && strings.HasPrefix(name, "/") && c.Waits() {
		n.mapped(exe, name)
	}
}

// address records the socket address of a call.
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

// answer reads what the caller is about to receive from a name server, if it has arrived. It reads from a copy of the
// caller's socket and leaves the data there. pidfd_getfd(2), Linux 5.6.
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

// text reads a path from the memory of a task. No read crosses the end of a page, because the next page may not
// exist.
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
	return "", false // ENAMETOOLONG
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

// limits lists what the filter does not show, and what no filter can show.
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
