package record

// This file is the bpf back end, for root: bpf(2). It reads what the programs of programs.go, which run in the kernel,
// count and report. It needs raw tracepoints (Linux 4.17), the ring buffer (5.8) and atomic operations that fetch
// (5.12). To record capabilities it needs the tracepoint cap_capable (6.14).

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"cordon/policy/filter"
	"cordon/policy/recording"
	"cordon/sandbox"
	"cordon/sandbox/internal/child"
)

// These are the sizes of the BPF maps, in elements. The programs count the elements that do not fit.
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
	fds     []int // descriptors of the maps, the programs and their attachments
	progs   []int
	root    int
	workdir string

	exeOf   map[uint32]int // the index of an executable, by its number in the kernel's programs
	numbers map[int]uint32 // the reverse, for executables to which the launcher has assigned the number
	begun   bool
	hashes  map[fact][][16]byte // the keys of a fact's records in the map seen
	done    chan struct{}
	drained sync.WaitGroup
	left    []string // the reasons why the recording is incomplete
	sampler sampler
	killed  uint64 // number of tasks that SIGKILL has ended
	capsWhy string // why capabilities are not recorded; "" if they are
	stopped bool
}

// newBPF loads the programs into the kernel. They record nothing until Ready or Attach is called.
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

// firstPIDs is the first pid namespace. The programs see pids of this namespace: include/linux/proc_ns.h,
// PROC_PID_INIT_INO.
const firstPIDs = "pid:[4026531836]"

// noExe is used in place of an executable for a task that is about to execute the recorded program.
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

// programs lists the programs and the tracepoints at which they run. A typed program can dereference its arguments.
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

// fillTable fills the table that tells the kernel's programs what to record about each call.
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

// compatArch returns the other ABI of which a kernel accepts calls, in addition to its own.
func compatArch(native filter.Arch) filter.Arch {
	if native == filter.ARM64 {
		return filter.ARM
	}
	return filter.I386
}

// tableEntry returns the table's entry for a call. regs are the offsets of the registers that hold the call's
// arguments.
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
	case len(c.paths) > 0 && c.paths[0].want != recording.Execute: // another program records execve
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

// Filter implements sandbox.Observer. This back end needs no filter.
func (b *bpf) Filter() *filter.Spec { return nil }

// Call implements sandbox.Observer. It is never called.
func (b *bpf) Call(*sandbox.Call) {}

// Ready implements sandbox.Observer. From the task's next execve on, the programs record everything.
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

// open opens the root directory of a task, and stores its working directory.
func (b *bpf) open(task int) (err error) {
	b.workdir, _ = link(procPath(task, "cwd"))
	b.root, err = unix.Open(procPath(task, "root"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	return err
}

// setCounters sets counters in the kernel to a value.
func (b *bpf) setCounters(to uint64, counters ...uint32) error {
	for _, n := range counters {
		if err := child.SetMap(b.m.counters, binary.LittleEndian.AppendUint32(nil, n), binary.LittleEndian.AppendUint64(nil, to)); err != nil {
			return err
		}
	}
	return nil
}

// begin attaches the programs, and starts to read their reports and to measure the resource use of the processes.
func (b *bpf) begin(pids ...int) error {
	for i, prog := range b.progs {
		point := programs[i].point
		if programs[i].typed {
			point = "" // a typed program was loaded for its tracepoint
		}
		fd, err := child.AttachRawTracepoint(point, prog)
		if err != nil && point == "cap_capable" {
			b.capsWhy = "tracepoint cap_capable: " + err.Error()
			continue
		}
		if err == unix.ENOENT && point == "sock_recv_length" {
			continue // without it, only the names of addresses are missing
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

// drain reads the programs' reports until stop.
func (b *bpf) drain() {
	defer b.drained.Done()
	fds := []unix.PollFd{{Fd: int32(b.ring.FD()), Events: unix.POLLIN}}
	for {
		_, _ = unix.Poll(fds, 20) // after an error the loop tries again
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

// stop implements backend.
func (b *bpf) stop() {
	if b.stopped {
		return
	}
	b.stopped = true
	b.sampler.stop()
	close(b.done)
	b.drained.Wait()
	if b.root < 0 { // nothing has been recorded
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
	if b.killed > 0 {
		why = append(why, "killed while they ran: "+strconv.FormatUint(b.killed, 10)+" tasks; what they would have done was not seen")
	}
	if b.capsWhy != "" {
		why, blind = append(why, b.capsWhy), append(blind, recording.KindCap)
	}
	return why, blind
}
