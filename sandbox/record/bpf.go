package record

// The bpf back end, for root: what the programs of programs.go count and tell is read here. bpf(2); raw tracepoints Linux
// 4.17, the ring buffer 5.8, atomic operations that fetch 5.12, the tracepoint cap_capable 6.14.

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/policy/recording"
	"cordon/sandbox"
	"cordon/sandbox/internal/child"
)

// Sizes of the maps, in elements. What does not fit is counted.
const (
	maxTasks  = 1 << 15
	maxCalls  = 1 << 15
	maxSeen   = 1 << 18
	maxExes   = 1 << 14
	maxCaps   = 1 << 12
	ringBytes = 8 << 20
	maxFrames = 12
)

// bpf is the back end.
type bpf struct {
	*gather
	m       mapFDs
	ring    *child.Ring
	fds     []int // programs and where they are attached
	progs   []int
	root    int
	workdir string

	exeOf   map[uint32]int // executables by the programs' numbers
	numbers map[int]uint32 // the other way round, of those that ran before the programs did
	begun   bool
	hashes  map[fact][][16]byte // what was told, by its keys among what was seen
	done    chan struct{}
	drained sync.WaitGroup
	left    []string // why it is not complete
	sampler sampler
	capsWhy string // why capabilities are not seen; "" where they are
	stopped bool
}

// newBPF loads the programs. They see nothing before Ready.
func newBPF(native filter.Arch) (*bpf, error) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		return nil, errors.New("bpf: the programs are for amd64 and arm64")
	}
	if space, _ := link("/proc/self/ns/pid"); space != firstPIDs {
		return nil, errors.New("bpf: the kernel counts processes otherwise than this pid namespace: it takes root on the host")
	}
	types, err := loadBTF()
	if err != nil {
		return nil, fmt.Errorf("bpf: the kernel's description of its types: %w", err)
	}
	l, err := findLayout(types)
	if err != nil {
		return nil, fmt.Errorf("bpf: %w", err)
	}
	b := &bpf{gather: newGather(native), root: -1, exeOf: map[uint32]int{noExe: -1}, hashes: map[fact][][16]byte{}, done: make(chan struct{})}
	if err := b.load(types, l); err != nil {
		b.close()
		if errors.Is(err, unix.EPERM) {
			return nil, fmt.Errorf("bpf: %w: it takes root on the host (CAP_BPF and CAP_PERFMON)", err)
		}
		return nil, fmt.Errorf("bpf: %w", err)
	}
	return b, nil
}

// firstPIDs is the pid namespace whose numbers the programs see: include/linux/proc_ns.h, PROC_PID_INIT_INO.
const firstPIDs = "pid:[4026531836]"

// noExe stands for whoever runs the program.
const noExe = 1<<32 - 1

func (b *bpf) load(types *btf, l *layout) error {
	if err := b.makeMaps(); err != nil {
		return err
	}
	seed, err := newSeed()
	if err != nil {
		return fmt.Errorf("getrandom: %w", err)
	}
	sigreturn, _ := filter.Number(b.native, "rt_sigreturn")
	exit, _ := filter.Number(b.native, "exit")
	exitGroup, _ := filter.Number(b.native, "exit_group")
	var receiving []uint32
	for _, call := range receivers {
		nr, _ := filter.Number(b.native, call)
		receiving = append(receiving, nr)
	}
	for i := range programs {
		p := &programs[i]
		g := &generator{l: l, m: &b.m, seed: seed, sigreturn: sigreturn, exits: []uint32{exit, exitGroup}, receivers: receiving}
		p.make(g)
		code, err := g.bytes()
		if err != nil {
			return err
		}
		typed := uint32(0)
		if p.typed {
			typed = types.typedef("btf_trace_" + p.point)
		}
		fd, err := child.LoadTracepoint(code, typed)
		if err != nil {
			return fmt.Errorf("program for %s: %w", p.point, err)
		}
		b.fds = append(b.fds, fd)
		b.progs = append(b.progs, fd)
	}
	return nil
}

// programs are what runs where. Typed is a program that reads what its arguments point to.
var programs = [...]struct {
	point string
	typed bool
	make  func(*generator)
}{
	{"sched_process_fork", false, (*generator).fork},
	{"sched_process_exit", true, (*generator).gone},
	{"sched_process_exec", false, (*generator).exec},
	{"sock_recv_length", false, (*generator).received},
	{"cap_capable", false, (*generator).capable},
	{"sys_exit", true, (*generator).sysExit},
}

func (b *bpf) makeMaps() (err error) {
	for _, m := range []struct {
		to                        *int
		kind, key, value, entries uint32
	}{
		{&b.m.slots, unix.BPF_MAP_TYPE_ARRAY, 4, taskSize, maxTasks},
		{&b.m.tasks, unix.BPF_MAP_TYPE_HASH, 4, taskSize, maxTasks},
		{&b.m.calls, unix.BPF_MAP_TYPE_HASH, 32, 24, maxCalls},
		{&b.m.plain, unix.BPF_MAP_TYPE_ARRAY, 4, 24, plainExes * tableSize},
		{&b.m.table, unix.BPF_MAP_TYPE_ARRAY, 4, entrySize, 2 * tableSize},
		{&b.m.scratch, unix.BPF_MAP_TYPE_PERCPU_ARRAY, 4, scratchSize, 1},
		{&b.m.seen, unix.BPF_MAP_TYPE_HASH, 16, 8, maxSeen},
		{&b.m.exes, unix.BPF_MAP_TYPE_HASH, 16, 8, maxExes},
		{&b.m.caps, unix.BPF_MAP_TYPE_HASH, 16, 8, maxCaps},
		{&b.m.stacks, unix.BPF_MAP_TYPE_STACK_TRACE, 4, 8 * maxFrames, maxCaps},
		{&b.m.counters, unix.BPF_MAP_TYPE_ARRAY, 4, 8, numCounters},
	} {
		if *m.to, err = child.NewMap(m.kind, m.key, m.value, m.entries); err != nil {
			return fmt.Errorf("map: %w", err)
		}
		b.fds = append(b.fds, *m.to)
	}
	if b.ring, err = child.NewRing(ringBytes); err != nil {
		return fmt.Errorf("ring buffer: %w", err)
	}
	b.m.ring = b.ring.FD()
	return b.fillTable()
}

// fillTable says of each call what to look at.
func (b *bpf) fillTable() error {
	l := b.layoutRegs()
	for i, arch := range []filter.Arch{b.native, compatArch(b.native)} {
		for nr := range uint32(tableSize) {
			if _, ok := filter.Name(arch, nr); !ok {
				continue
			}
			entry := tableEntry(lookup(b.native, arch.Audit(), int32(nr)), l[i])
			key := binary.LittleEndian.AppendUint32(nil, nr+uint32(i*tableSize))
			if err := child.SetMap(b.m.table, key, entry); err != nil {
				return fmt.Errorf("map: %w", err)
			}
		}
	}
	return nil
}

// compatArch is the other ABI whose numbers a kernel has.
func compatArch(native filter.Arch) filter.Arch {
	if native == filter.ARM64 {
		return filter.ARM
	}
	return filter.I386
}

// tableEntry is the entry of a call whose arguments are in those registers.
func tableEntry(c *call, regs [6]int) []byte {
	e := make([]byte, entrySize)
	reg := func(arg int) byte {
		if arg < 0 {
			return noRegister
		}
		return byte(regs[arg] / 8)
	}
	for i, g := range c.gates {
		binary.LittleEndian.PutUint64(e[entryMasks+8*i:], g.Mask)
		if g.Reg >= 0 {
			e[entryRegs+i] = reg(g.Reg)
		} else {
			e[entryRegs+i], e[entryBehind+i] = reg(recording.Pointer(c.name)), byte(-g.Reg)
		}
	}
	switch {
	case c.addr != nil:
		e[entryWhat], e[entryPaths], e[entryPaths+1] = recordAddr, reg(c.addr.addr), reg(c.addr.len)
	case c.name == "mmap" || c.name == "mmap2":
		e[entryWhat], e[entryPaths+1] = recordMapped, reg(4)
	case len(c.paths) > 0 && c.paths[0].want != recording.Execute: // execve has a program of its own
		e[entryWhat] = recordPath
	}
	for i, p := range c.paths {
		at := entryPaths + i*pathRegs
		e[at], e[at+1], e[at+2], e[at+3] = reg(p.path), reg(p.dir), noRegister, 1
		if p.flags != 0 {
			e[at+2] = reg(p.flags)
		}
	}
	if e[entryWhat] == 0 && len(c.gates) == 0 {
		e[entryPlain] = 1
	}
	switch c.name {
	case "open", "openat", "creat":
		e[entryOpens] = opensFile
	case "openat2":
		e[entryOpens] = opensBehind
	}
	return e
}

func (b *bpf) layoutRegs() [2][6]int {
	l := &layout{}
	l.registers()
	return [2][6]int{l.regs, l.compat}
}

// Filter is part of sandbox.Observer: there is none.
func (b *bpf) Filter() *filter.Spec { return nil }

// Call is part of sandbox.Observer, and never called.
func (b *bpf) Call(*sandbox.Call) {}

// Ready is part of sandbox.Observer: from the task's next execve on everything is seen.
func (b *bpf) Ready(task int) error {
	if err := b.open(task); err != nil {
		return err
	}
	key, value := binary.LittleEndian.AppendUint32(nil, uint32(task)), make([]byte, taskSize)
	binary.LittleEndian.PutUint32(value[taskExe:], noExe)
	binary.LittleEndian.PutUint32(value[taskTID:], uint32(task))
	if err := child.SetMap(b.m.tasks, key, value); err != nil {
		return err
	}
	if err := b.setCounters(1, alive, mostAlive, inHash); err != nil {
		return err
	}
	return b.begin(Parent(task))
}

// open holds on to the root directory of a task.
func (b *bpf) open(task int) (err error) {
	b.workdir, _ = link(procPath(task, "cwd"))
	b.root, err = unix.Open(procPath(task, "root"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	return err
}

// setCounters sets counters to a number.
func (b *bpf) setCounters(to uint64, counters ...uint32) error {
	for _, n := range counters {
		if err := child.SetMap(b.m.counters, binary.LittleEndian.AppendUint32(nil, n), binary.LittleEndian.AppendUint64(nil, to)); err != nil {
			return err
		}
	}
	return nil
}

// begin lets the programs run, reads what they tell, and looks at what processes have.
func (b *bpf) begin(pids ...int) error {
	for i, prog := range b.progs {
		point := programs[i].point
		if programs[i].typed {
			point = "" // the program was loaded for it
		}
		fd, err := child.AttachRawTracepoint(point, prog)
		if err != nil && point == "cap_capable" {
			b.capsWhy = "tracepoint cap_capable: " + err.Error()
			continue
		}
		if err == unix.ENOENT && point == "sock_recv_length" {
			continue // names are no part of what is complete
		}
		if err != nil {
			return fmt.Errorf("tracepoint %s: %w", programs[i].point, err)
		}
		b.fds = append(b.fds, fd)
	}
	b.drained.Add(1)
	go b.drain()
	b.sampler.start(b.gather, pids...)
	return nil
}

// drain takes in what the programs tell, until stop.
func (b *bpf) drain() {
	defer b.drained.Done()
	fds := []unix.PollFd{{Fd: int32(b.ring.FD()), Events: unix.POLLIN}}
	for {
		_, _ = unix.Poll(fds, 20) // an error is looked at again in a moment
		b.mu.Lock()
		b.ring.Read(b.record)
		b.mu.Unlock()
		select {
		case <-b.done:
			return
		default:
		}
	}
}

// stop is part of backend.
func (b *bpf) stop() {
	if b.stopped {
		return
	}
	b.stopped = true
	b.sampler.stop()
	close(b.done)
	b.drained.Wait()
	if b.root < 0 { // it has never begun
		b.close()
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ring.Read(b.record)
	b.readCalls()
	b.readCounts()
	b.readCaps()
	b.readCounters()
	b.close()
}

func (b *bpf) close() {
	for _, fd := range slices.Backward(b.fds) {
		unix.Close(fd)
	}
	b.fds = nil
	if b.ring != nil {
		b.ring.Close()
		b.ring = nil
	}
	if b.root >= 0 {
		unix.Close(b.root)
		b.root = -1
	}
}

func (b *bpf) facts() *gather { return b.gather }

func (b *bpf) limits() (why []string, blind []recording.Kind) {
	why = slices.Clone(b.left)
	if b.capsWhy != "" {
		why, blind = append(why, b.capsWhy), append(blind, recording.KindCap)
	}
	return why, blind
}

// told is one record of the ring buffer.
type told struct {
	kind, exe, nr, arg uint32
	ret                int64
	args               [6]uint64
	hash               [16]byte
	mode               uint32
	text               string
	names              []string // from the last part of a path to its first
}

func parseTold(rec []byte) (t told, ok bool) {
	u32, u64 := binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	if len(rec) < recordHead {
		return t, false
	}
	t = told{kind: u32(rec[recKind:]), exe: u32(rec[recExe:]), nr: u32(rec[recNr:]), arg: u32(rec[recArg:]), ret: int64(u64(rec[recRet:])), mode: u32(rec[recMode:])}
	for i := range t.args {
		t.args[i] = u64(rec[recArgs+8*i:])
	}
	copy(t.hash[:], rec[recHash:])
	size, walk, rest := int(u32(rec[recLen:])), int(u32(rec[recWalk:])), rec[recordHead:]
	text := size
	if t.kind == recordAddr { // the protocol's name stands behind the longest address
		text = maxAddr
	}
	if size > text || text > len(rest) {
		return t, false
	}
	t.text, rest = string(rest[:size]), rest[text:]
	if walk > len(rest) {
		return t, false
	}
	if walk > 0 {
		t.names = strings.Split(strings.TrimSuffix(string(rest[:walk]), "\x00"), "\x00")
	}
	return t, true
}

// path is the path that the names make.
func (t *told) path() string {
	var p strings.Builder
	for _, name := range slices.Backward(t.names) {
		if name != "/" {
			p.WriteString("/" + name)
		}
	}
	if p.Len() == 0 {
		return "/"
	}
	return p.String()
}

// record takes in one record.
func (b *bpf) record(rec []byte) {
	t, ok := parseTold(rec)
	if !ok {
		b.lost["records"]++
		return
	}
	exe, known := b.exeOf[t.exe]
	if !known {
		exe = -1
		b.lost["executables"]++
	}
	switch t.kind {
	case recordExe:
		b.exeOf[t.arg] = b.executable(b.inspected(t.path()))
	case recordExec:
		b.executed(exe, strings.TrimSuffix(t.text, "\x00"), t.path())
	case recordMapped:
		b.tell(&t, fact{exe, recording.KindPath, t.path(), uint32(recording.Map) << 1},
			recording.Event{Path: t.path(), Access: recording.Map, Type: fileType(t.mode)})
	case recordAddr:
		b.addressed(&t, exe)
	case recordPath:
		b.pathed(&t, exe)
	case recordName:
		b.answered(exe, []byte(t.text))
	}
}

// tell adds what a record says, and remembers how its count is found.
func (b *bpf) tell(t *told, f fact, e recording.Event) {
	if b.events[f] == nil {
		b.add(f, e)
		if e.Kind = f.kind; e.Kind == recording.KindPath {
			b.through(b.root, f.exe, &e)
		}
	} else if old := b.events[f]; e.Errno == "" {
		old.Errno = ""
	}
	if len(b.hashes) < maxFacts {
		b.hashes[f] = append(b.hashes[f], t.hash)
	}
}

// inspected reads what there is to know of an executable, while it is there.
func (b *bpf) inspected(name string) recording.Executable {
	x := recording.Executable{Path: name}
	if fd, err := openRegular(b.root, name); err == nil {
		id, loader, isELF := inspect(fd)
		x.BuildID, x.Static = id, isELF && loader == ""
	}
	return x
}

// executed records that a program runs another.
func (b *bpf) executed(exe int, name, dir string) {
	asked := join(dir, name)
	found := resolve(b.root, asked, true)
	f := fact{exe, recording.KindPath, asked, uint32(recording.Execute) << 1}
	if b.again(f) {
		return
	}
	e := found.event(asked, recording.Execute)
	b.add(f, e)
	b.through(b.root, exe, &e)
	b.executes(exe, b.root, found.path, asked)
}

// addressed records a socket address.
func (b *bpf) addressed(t *told, exe int) {
	c := b.calledAt(t.nr)
	if c == nil || c.addr == nil || len(t.text) < 2 {
		return
	}
	net, file := sockaddr([]byte(t.text))
	if file != "" {
		asked, want := join(b.workdir, file), recording.Connect
		if c.addr.what == "bind" {
			want = recording.Create
		}
		found := resolve(b.root, asked, want == recording.Connect)
		b.tell(t, fact{exe, recording.KindPath, asked, uint32(want) << 1}, found.event(asked, want))
		return
	}
	net.Op = c.addr.what
	if len(t.names) > 0 {
		net.Proto = strings.TrimSuffix(strings.ToLower(t.names[0]), "v6")
	}
	b.tell(t, fact{exe, recording.KindNet, net.Op + net.Proto + t.text, 0}, recording.Event{Net: net, Errno: errno(t.ret)})
}

// pathed records a path of a call.
func (b *bpf) pathed(t *told, exe int) {
	c := b.calledAt(t.nr)
	if c == nil || int(t.arg) >= len(c.paths) {
		return
	}
	p := &c.paths[t.arg]
	want := p.want
	if i := openFlags(p.call); i != noFD {
		want = opens(t.args[i])
	} else if p.call == "openat2" {
		want = opens(t.args[recording.Pointer(p.call)]) // the programs put the flags there
	}
	name := strings.TrimSuffix(t.text, "\x00")
	f := fact{exe: exe, kind: recording.KindPath, bits: uint32(want) << 1}
	if t.mode != 0 && !strings.HasPrefix(name, "/proc/") { // open: the kernel said which file it is
		f.text = t.path()
		e := recording.Event{Path: f.text, Access: want, Type: fileType(t.mode)}
		if strings.HasPrefix(name, "/") && join("", name) != f.text {
			e.Via = path.Clean(name)
		}
		b.tell(t, f, e)
		return
	}
	f.text = name // /proc/self means another thing to each process, and stays
	if t.mode == 0 {
		f.text = join(t.path(), name)
	}
	found := found{path: f.text, exists: true}
	if p.follows(&t.args) {
		f.bits |= 1
	}
	if !plain(name, f.bits&1 != 0) {
		found = resolve(b.root, f.text, f.bits&1 != 0)
	}
	e := found.event(f.text, want)
	e.Errno = errno(t.ret)
	b.tell(t, f, e)
}

// calledAt is what is known of a number as the programs write it.
func (b *bpf) calledAt(nr uint32) *call {
	if nr&compatBit != 0 && nr < filter.X32Bit {
		return b.call(compatArch(b.native).Audit(), int32(nr&^compatBit))
	}
	return b.call(b.native.Audit(), int32(nr))
}

// errno names a result that is an error.
func errno(ret int64) string {
	if ret >= 0 || ret < -4095 {
		return ""
	}
	return unix.ErrnoName(unix.Errno(-ret))
}

// readCalls takes in the maps of calls.
func (b *bpf) readCalls() {
	u32, u64 := binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	each(b.m.calls, 32, 24, maxCalls, func(k, v []byte) {
		nr, arch := u32(k[4:]), b.native
		if nr&compatBit != 0 && nr < filter.X32Bit {
			nr, arch = nr&^compatBit, compatArch(b.native)
		}
		b.called(u32(k), callFact{arch: arch.Audit(), nr: int32(nr), args: [3]uint64{u64(k[8:]), u64(k[16:]), u64(k[24:])}}, v)
	})
	key, value := make([]byte, 4), make([]byte, 24)
	for exe := range min(uint32(len(b.exeOf)), plainExes) {
		for nr := range uint32(tableSize) {
			binary.LittleEndian.PutUint32(key, exe*tableSize+nr)
			if child.GetMap(b.m.plain, key, value) == nil && u64(value) > 0 {
				b.called(exe, callFact{arch: b.native.Audit(), nr: int32(nr)}, value)
			}
		}
	}
}

// called adds a kind of call with what the programs counted: see tally.
func (b *bpf) called(exe uint32, f callFact, value []byte) {
	u64 := binary.LittleEndian.Uint64
	known := false
	if f.exe, known = b.exeOf[exe]; !known {
		f.exe = -1
		b.lost["executables"]++
	}
	if b.call(f.arch, f.nr) == nil {
		return
	}
	_, again := b.calls[f]
	b.countCall(f, u64(value))
	failed := ""
	if u64(value[8:]) == 0 {
		failed = errno(int64(u64(value[16:])))
	}
	if old := b.failed[f]; again && old != failed {
		failed = ""
	}
	b.failed[f] = failed
}

// readCounts takes in how often things were done.
func (b *bpf) readCounts() {
	value := make([]byte, 8)
	for f, hashes := range b.hashes {
		n := uint64(0)
		for _, h := range hashes {
			if child.GetMap(b.m.seen, h[:], value) == nil {
				n += binary.LittleEndian.Uint64(value)
			}
		}
		if e := b.events[f]; e != nil {
			e.Count = max(e.Count, n)
		}
	}
}

// readCaps takes in the capabilities, each with the function of the kernel that asked.
func (b *bpf) readCaps() {
	u32 := binary.LittleEndian.Uint32
	symbols := kernelSymbols()
	stack := make([]byte, 8*maxFrames)
	each(b.m.caps, 16, 8, maxCaps, func(k, v []byte) {
		exe, known := b.exeOf[u32(k)]
		if !known {
			exe = -1
		}
		by := ""
		if int32(u32(k[12:])) >= 0 && child.GetMap(b.m.stacks, k[12:16], stack) == nil {
			by = symbols.asker(stack)
		}
		name := policy.CapabilityName(int(u32(k[4:])))
		if name == "" {
			name = strconv.Itoa(int(u32(k[4:])))
		}
		f := fact{exe, recording.KindCap, name + "\x00" + by, 0}
		e := recording.Event{Cap: name, By: by, Count: binary.LittleEndian.Uint64(v), Errno: errno(int64(int32(u32(k[8:]))))}
		if old := b.events[f]; old != nil {
			old.Count += e.Count
			if old.Errno != e.Errno {
				old.Errno = ""
			}
			return
		}
		b.add(f, e)
	})
}

// readCounters takes in what was lost.
func (b *bpf) readCounters() {
	value := make([]byte, 8)
	read := func(n uint32) uint64 {
		if child.GetMap(b.m.counters, binary.LittleEndian.AppendUint32(nil, n), value) != nil {
			return 0
		}
		return binary.LittleEndian.Uint64(value)
	}
	for n, what := range map[uint32]string{lostTasks: "tasks", lostCalls: "calls", lostSeen: "paths", lostRecords: "records", lostCaps: "capabilities", cutPaths: "long paths"} {
		if v := read(n); v > 0 {
			b.lost[what] += v
		}
	}
	b.peak(-1, recording.PeakPIDs, read(mostAlive))
}

// each goes through a hash map of so many elements at most. Where elements are deleted meanwhile, some come twice.
func each(fd int, key, value uint32, most int, do func(k, v []byte)) {
	k, next, v := []byte(nil), make([]byte, key), make([]byte, value)
	for n := 0; n < most && child.NextKey(fd, k, next) == nil; n++ {
		if child.GetMap(fd, next, v) == nil {
			do(next, v)
		}
		k = append(k[:0], next...)
	}
}

// symbols are the kernel's functions by address.
type symbols []symbol

type symbol struct {
	at   uint64
	name string
}

// kernelSymbols reads /proc/kallsyms; nothing where it hides the addresses (kernel.kptr_restrict).
func kernelSymbols() (s symbols) {
	text, err := os.ReadFile("/proc/kallsyms")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 3 || f[1] != "t" && f[1] != "T" && f[1] != "w" && f[1] != "W" {
			continue
		}
		if at, err := strconv.ParseUint(f[0], 16, 64); err == nil && at != 0 {
			s = append(s, symbol{at, f[2]})
		}
	}
	slices.SortFunc(s, func(a, b symbol) int { return cmp.Compare(a.at, b.at) })
	return s
}

// asker is what of a stack asked for the capability: the first function, from the inside, that is no part of the question.
func (s symbols) asker(stack []byte) string {
	for ; len(stack) >= 8; stack = stack[8:] {
		at := binary.LittleEndian.Uint64(stack)
		i, _ := slices.BinarySearchFunc(s, at, func(x symbol, at uint64) int { return cmp.Compare(x.at, at+1) })
		if at == 0 || i == 0 {
			return ""
		}
		name, _, _ := strings.Cut(s[i-1].name, ".")
		if name = strings.ToLower(name); !asks(name) {
			return callOf(name)
		}
	}
	return ""
}

// callOf is the call whose entry a function of the kernel is, or the function.
func callOf(name string) string {
	for _, prefix := range [...]string{"__x64_sys_", "__arm64_sys_", "__ia32_sys_", "__do_sys_", "__se_sys_"} {
		if call, ok := strings.CutPrefix(name, prefix); ok {
			return call
		}
	}
	return name
}

// asks reports whether a function of the kernel passes the question for a capability on.
func asks(name string) bool {
	for _, prefix := range [...]string{"bpf_", "__bpf_", "__traceiter_", "trace_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return strings.Contains(name, "capable")
}
