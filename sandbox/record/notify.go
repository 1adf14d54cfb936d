package record

// The notify back end: seccomp_unotify(2). Every call that the filter shows waits until it has been looked at, and goes
// on then. Works for anybody who can start a sandbox.

import (
	"encoding/binary"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy/filter"
	"cordon/sandbox"
)

// notify is the back end.
type notify struct {
	*gather
	spec  *filter.Spec
	calls map[callID]*call
	tasks map[int]known // by thread
	seen  map[rawPath]struct{}
	root  int // the task's root directory
	next  time.Time
}

type callID struct {
	arch uint32
	nr   int32
}

// known is what was found out about a thread. It is believed for a second: by then its number may be another's.
type known struct {
	exe   int
	group int
	at    time.Time
}

// rawPath is an absolute path as it was asked for: links are followed once for each.
type rawPath struct {
	exe    int
	path   string
	want   access
	follow bool
}

const believed = time.Second

// Filter is part of sandbox.Observer.
func (n *notify) Filter() *filter.Spec { return n.spec }

// Ready holds on to the root directory of the task, which is complete by now.
func (n *notify) Ready(task int) (err error) {
	n.root, err = unix.Open(procPath(task, "root"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	return err
}

// Call is part of sandbox.Observer.
func (n *notify) Call(c *sandbox.Call) {
	id := callID{c.Arch, c.Nr}
	what := n.calls[id]
	if what == nil {
		if len(n.calls) > 1<<12 { // numbers that no table has, made up to fill the memory
			n.lost++
			return
		}
		what = lookup(c.Arch, c.Nr)
		n.calls[id] = what
	}
	exe, ok := n.executable(c)
	if !ok { // killed since
		n.lost++
		return
	}
	f := callFact{exe: exe, arch: c.Arch, nr: c.Nr}
	for i, m := range what.mask {
		f.args[i] = c.Args[i] & m
	}
	count(n.gather, n.gather.calls, f, 1)
	for i := range what.paths {
		n.path(c, exe, &what.paths[i])
	}
	if what.addr != nil {
		n.address(c, exe, what.addr)
	}
	switch what.name {
	case "execve", "execveat": // the thread, and its process, may be another program next time
		delete(n.tasks, n.tasks[c.TID].group)
		delete(n.tasks, c.TID)
	case "clone", "clone3", "fork", "vfork", "openat", "socket", "pipe2", "accept4":
		n.sample(c)
	}
}

// executable is the program of the calling thread.
func (n *notify) executable(c *sandbox.Call) (exe int, ok bool) {
	now := time.Now()
	if k, found := n.tasks[c.TID]; found && now.Sub(k.at) < believed {
		return k.exe, true
	}
	path, ok := link(procPath(c.TID, "exe"))
	fields := status(c.TID, "Tgid")
	id := ""
	if _, found := n.byExe[path]; !found {
		id = buildID(procPath(c.TID, "exe"))
	}
	if !ok || !c.Waits() {
		return 0, false
	}
	exe = n.program(strings.TrimSuffix(path, " (deleted)"), id)
	group, _ := strconv.Atoi(fields[0])
	if len(n.tasks) > 1<<15 {
		clear(n.tasks)
	}
	n.tasks[c.TID] = known{exe, group, now}
	return exe, true
}

// path records one path of a call.
func (n *notify) path(c *sandbox.Call, exe int, p *pathArg) {
	name, ok := text(c, c.Args[p.path])
	if !ok {
		return // the kernel will not be able to read it either: EFAULT
	}
	want := p.want
	if i := openFlags(p.call); i != noFD {
		want = opens(c.Args[i])
	} else if p.call == "openat2" {
		want = opens(word(c, c.Args[2]))
	}
	if name == "" {
		if p.dir == noFD || p.flags == 0 || c.Args[p.flags]&atEmptyPath == 0 || want&aExec == 0 {
			return // ENOENT, or about the descriptor itself
		}
	}
	dir := ""
	if !strings.HasPrefix(name, "/") {
		fd := atFDCWD
		if p.dir != noFD {
			fd = int(int32(c.Args[p.dir]))
		}
		if dir, ok = base(c.TID, fd); !ok {
			return // EBADF
		}
	}
	raw := rawPath{exe, join(dir, name), want, p.follows(&c.Args)}
	if _, known := n.seen[raw]; known {
		return
	}
	resolved, exists := resolve(n.root, raw.path, raw.follow)
	if !c.Waits() {
		n.lost++
		return
	}
	if len(n.seen) < maxFacts {
		n.seen[raw] = struct{}{}
	}
	count(n.gather, n.paths, pathFact{exe, resolved, want, !exists}, 1)
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
	addr, path := sockaddr(buf)
	if path != "" && !strings.HasPrefix(path, "/") {
		dir, _ := link(procPath(c.TID, "cwd"))
		path = join(dir, path)
	}
	if path != "" {
		path, _ = resolve(n.root, path, a.what != "bind")
		addr = "unix:" + path
	}
	count(n.gather, n.addrs, addrFact{exe: exe, what: a.what, addr: addr}, 1)
}

// sample looks now and then at how much there is of what limits bound: not at every call, since that takes as long as
// the call.
func (n *notify) sample(c *sandbox.Call) {
	now := time.Now()
	if now.Before(n.next) {
		return
	}
	n.next = now.Add(20 * time.Millisecond)
	fields := status(c.TID, "Threads", "VmHWM")
	threads, _ := strconv.Atoi(fields[0])
	kib, _ := strconv.ParseInt(strings.TrimSuffix(fields[1], " kB"), 10, 64)
	n.peaks.threads = max(n.peaks.threads, threads)
	n.peaks.memory = max(n.peaks.memory, kib<<10)
	var st unix.Stat_t
	if unix.Stat(procPath(c.TID, "fd"), &st) == nil {
		n.peaks.files = max(n.peaks.files, int(st.Size)) // since Linux 6.2; before, 0
	}
}

// text reads a path of a task: page by page, since the page behind it may not be there.
func text(c *sandbox.Call, addr uint64) (string, bool) {
	var buf [unix.PathMax]byte
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

// word reads 64 bits of a task's memory; 0 where that is not to be had.
func word(c *sandbox.Call, addr uint64) uint64 {
	var buf [8]byte
	if c.Memory(addr, buf[:]) < len(buf) {
		return 0
	}
	return binary.LittleEndian.Uint64(buf[:])
}
