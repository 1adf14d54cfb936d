package record

// This file builds the eBPF programs of the bpf back end. They examine a system call when it ends (sys_exit). By then
// the kernel has read the memory to which the call's pointers lead, so the programs can read it without a page fault,
// and the result is known. exit and exit_group never return, so the programs count them when the task ends.
//
// A program works in two steps. First it counts the call, with the arguments that matter, in a map. For most calls that
// is all. For a call about a file or an address, it then computes a hash of everything that the call is about. If the
// hash is new, it sends a record to the launcher through the ring buffer. If there is no space for the record, it
// forgets the hash, so that the next such call tries again. It also counts the record as lost, in case there is no next
// such call.

import (
	"encoding/binary"
	"runtime"

	"golang.org/x/sys/unix"
)

// These are places on the stack of a program, as offsets from the frame pointer.
const (
	slotTmp    = -8
	slotTID    = -16
	slotZero   = -20 // the key 0 of an array
	slotExe    = -24
	slotNr     = -32
	slotRet    = -40
	slotCall   = -80 // the key of a call: executable, number, three arguments
	slotDentry = -112
	slotHash   = -128 // the hash, two words
	slotOne    = -136
	slotValue  = -168 // the value for a call or a task
	slotMnt    = -176
	slotDir    = -184
	slotOff    = -192
	slotLen    = -200
	slotRootD  = -208
	slotRootM  = -216
	slotTask   = -224
	slotFile   = -232
	slotKind   = -240
	slotArg    = -248
	slotTop    = -256
)

// These are places in the scratch memory of a processor. It holds the caller's registers, the record that is being
// built, and a word for number64, through which the verifier comes to treat a pointer as a number.
const (
	scratchRegs   = 0
	scratchRecord = 512
	scratchPlain  = 16<<10 - 8
	scratchSize   = 16 << 10
	maxRegs       = 512
	maxName       = 4096
	recordHead    = 112 // bytes before the text
)

// These are offsets in the head of a record.
const (
	recKind = 0  // the kind of record: recordPath …
	recExe  = 4  // the executable that has made the call
	recNr   = 8  // the call's number, with compatBit
	recArg  = 12 // which of the call's paths it is about
	recRet  = 16
	recArgs = 24 // the six argument registers
	recHash = 72 // the record's hash, which is its key in the map seen
	recLen  = 88 // length of the text: a path as the program gave it, or an address
	recWalk = 92 // length of the names after the text, which are the components of a path, the last one first
	recMode = 96 // the mode of the file, if it is open
	recMore = 104
)

// These are the kinds of records.
const (
	recordPath   = 1 + iota // text, and names of the file (if recMode is set) or of text's directory
	recordAddr              // text is the address
	recordExe               // names of the executable whose number is recArg
	recordExec              // recExe executes recArg; text is the path as given, names that of the working directory
	recordMapped            // names of a file that is mapped as code
	recordName              // text is a name server's answer
)

// These are the states of a task.
const (
	taskArmed = 0 // it will execute the recorded program
	taskOn    = 1
	taskFirst = 2 // its first execve, which the launcher makes, has not ended and is not counted
	taskExec  = 3 // its execve of another program has not ended, and counts for the present executable

	taskReceived = 4 // the present call has received data from an unconnected UDP socket
	taskAnswered = 5 // the present call has received data from a UDP socket connected to a name server
)

// These are offsets in the value of a task: its executable, its state, its previous executable, and its id.
const (
	taskExe    = 0
	taskState  = 4
	taskBefore = 8
	taskTID    = 16
	taskSize   = 24
)

// compatBit marks call numbers of the kernel's other ABI.
const compatBit = 0x10000

// tableSize is the number of calls for each ABI in the table of calls.
const tableSize = 512

// These are offsets in an entry of the table of calls, which says what to examine in a call. Registers are given as
// offsets into struct pt_regs, divided by 8.
const (
	entryMasks  = 0  // masks for three arguments, one word each
	entryRegs   = 24 // their registers, one byte each
	entryWhat   = 27 // 0, or the kind of record to send
	entryPaths  = 28 // two paths, pathRegs bytes each
	entryOpens  = 36 // opensFile: the result is a descriptor; opensBehind: and the 2nd masked argument is the flags
	entryPlain  = 38 // 1: only the number of the call matters
	entryBehind = 42 // two bytes: 0, or n+1 if the masked argument is word n of the memory to which the register points
	entrySize   = 48 // with room after the second path
	pathRegs    = 4  // registers of path, directory and flags, and 1 if there is a path; or of an address and its length
	noRegister  = 0xff

	opensFile   = 1
	opensBehind = 2
)

// layout holds the offsets of those members of the kernel's structures that the programs read.
type layout struct {
	pid, fs, files, mm, status, exitCode   int // task_struct
	pwd, root                              int // fs_struct
	fdt, maxFDs, fds                       int // files_struct, fdtable
	filePath, private                      int // file
	pathMnt, pathDentry                    int // path
	dParent, dName, dInode                 int // dentry
	mntRoot, mntMnt, mntParent, mntPoint   int // vfsmount, mount
	inodeMode, exeFile, bprmName, bprmFile int
	sk, skProt, protName                   int // socket, sock, proto
	skProtocol, skPort                     int // sock

	regs         [6]int // offsets of the arguments in struct pt_regs
	compat       [6]int // the same for the other ABI
	nr           int
	nrBits       uint8 // b32 or b64: the size of the call number
	compatStatus int32 // the bit in the thread's status that marks a call of the other ABI; 0 if there is none
}

// findLayout finds the offsets in the kernel's type information (BTF).
func findLayout(t *btf) (*layout, error) {
	l := &layout{}
	var err error
	for _, m := range []struct {
		to             *int
		strukt, member string
	}{
		{&l.pid, "task_struct", "pid"}, {&l.fs, "task_struct", "fs"}, {&l.files, "task_struct", "files"}, {&l.mm, "task_struct", "mm"},
		{&l.exitCode, "task_struct", "exit_code"},
		{&l.pwd, "fs_struct", "pwd"}, {&l.root, "fs_struct", "root"},
		{&l.fdt, "files_struct", "fdt"}, {&l.maxFDs, "fdtable", "max_fds"}, {&l.fds, "fdtable", "fd"},
		{&l.filePath, "file", "f_path"}, {&l.private, "file", "private_data"},
		{&l.pathMnt, "path", "mnt"}, {&l.pathDentry, "path", "dentry"},
		{&l.dParent, "dentry", "d_parent"}, {&l.dName, "dentry", "d_name"}, {&l.dInode, "dentry", "d_inode"},
		{&l.mntRoot, "vfsmount", "mnt_root"}, {&l.mntMnt, "mount", "mnt"}, {&l.mntParent, "mount", "mnt_parent"}, {&l.mntPoint, "mount", "mnt_mountpoint"},
		{&l.inodeMode, "inode", "i_mode"}, {&l.exeFile, "mm_struct", "exe_file"},
		{&l.bprmName, "linux_binprm", "filename"}, {&l.bprmFile, "linux_binprm", "file"},
		{&l.sk, "socket", "sk"}, {&l.skProt, "sock_common", "skc_prot"}, {&l.protName, "proto", "name"},
		{&l.skProtocol, "sock", "sk_protocol"}, {&l.skPort, "sock_common", "skc_dport"},
	} {
		if *m.to, err = t.offset(m.strukt, m.member); err != nil {
			return nil, err
		}
	}
	l.registers()
	if runtime.GOARCH == "arm64" {
		l.nr, err = t.offset("pt_regs", "syscallno")
		return l, err
	}
	info, err := t.offset("task_struct", "thread_info")
	if err == nil {
		l.status, err = t.offset("thread_info", "status")
	}
	l.status += info
	return l, err
}

// registers sets the offsets of the arguments in struct pt_regs. The layout of this structure never changes, because
// ptrace(2) shows it to programs.
func (l *layout) registers() {
	if runtime.GOARCH == "arm64" { // at the end of a call x0 holds the result, not the first argument
		l.regs = [6]int{origX0, 8, 16, 24, 32, 40}
		l.compat, l.nrBits = l.regs, b32
		return
	}
	l.regs, l.compat = [6]int{112, 104, 96, 56, 72, 64}, [6]int{40, 88, 96, 104, 112, 32}
	l.nr, l.nrBits, l.compatStatus = 120, b64, 2 // TS_COMPAT
}

// origX0 is the offset of the place where arm64 keeps the first argument until the call ends.
const origX0 = 272

// mapFDs holds the descriptors of the BPF maps.
type mapFDs struct {
	slots, tasks                                                     int // see find
	calls, plain, table, scratch, seen, exes, caps, stacks, counters int
	ring                                                             int
}

// These are the counters, as indices of an array.
const (
	lostTasks = iota
	lostCalls
	lostSeen
	lostRecords
	lostCaps
	cutPaths
	lastExe
	alive
	mostAlive
	killed // tasks that SIGKILL has ended
	inHash // tasks in the hash map tasks; never 0 while the launcher adds tasks
	numCounters
)

// generator builds the programs.
type generator struct {
	asm
	l         *layout
	m         *mapFDs
	seed      [2]uint64
	sigreturn uint32
	exits     []uint32
	receivers []uint32
}

// newSeed returns the initial value of the hashes.
func newSeed() (seed [2]uint64, err error) {
	var b [16]byte
	_, err = unix.Getrandom(b[:], 0)
	return [2]uint64{binary.LittleEndian.Uint64(b[:]) | 1, binary.LittleEndian.Uint64(b[8:]) | 1}, err
}

// leave is the label at the end of every program.
const leave = "leave"

// end emits the end of a program.
func (g *generator) end() {
	g.label(leave)
	g.movi(r0, 0)
	g.exit()
}

// counter puts the address of a counter into r0. The comparison with NULL is only for the verifier, which cannot know
// that every counter exists.
func (g *generator) counter(n int32) {
	g.storei(b32, fp, slotZero, n)
	g.lookup(g.m.counters, slotZero)
	g.jumpIfi(jEq, r0, 0, leave)
}

// countUp adds by to the counter n.
func (g *generator) countUp(n, by int32) {
	g.counter(n)
	g.movi(r1, by)
	g.add(r0, 0, r1, false)
}

// watched emits a jump to the end of the program, which is taken unless the running task is recorded. After it r0 is
// the task's value, and r7 the task.
func (g *generator) watched() {
	g.call(fnTaskBTF)
	g.mov(r7, r0)
	g.load(b32, r1, r7, g.l.pid)
	g.find(r1, leave)
}

// find looks up the value of a task by the task's id, and puts the address of the value into r0. If there is none, it
// jumps to the label none. Most tasks are in an array, indexed by the last bits of their id, which needs no call of the
// kernel. If a task's place in the array is taken, or if the launcher has added the task, the task is in a hash map. If
// the hash map is empty, find skips it, because find runs at every call of every program on the machine.
func (g *generator) find(tid reg, none string) {
	found := g.unique("found")
	g.store(b32, fp, slotTID, tid)
	g.slot(tid)
	g.load(b64, r1, r0, taskTID)
	g.load(b32, r2, fp, slotTID)
	g.jumpIf(jEq, r1, r2, found)
	g.counter(inHash)
	g.load(b64, r1, r0, 0)
	g.jumpIfi(jEq, r1, 0, none)
	g.lookup(g.m.tasks, slotTID)
	g.jumpIfi(jEq, r0, 0, none)
	g.label(found)
}

// slot puts the address of a task's place in the array into r0. tid is the register with the task's id, which slot
// overwrites.
func (g *generator) slot(tid reg) {
	g.alui(opAnd, tid, maxTasks-1)
	g.store(b32, fp, slotZero, tid)
	g.lookup(g.m.slots, slotZero)
	g.jumpIfi(jEq, r0, 0, leave)
}

// keep stores slotValue as the value of the task slotTID, which has no value yet. It takes a place in the array
// atomically, because two processors may want the same place for different tasks.
func (g *generator) keep() {
	full, kept := g.unique("full"), g.unique("kept")
	g.load(b32, r1, fp, slotTID)
	g.store(b64, fp, slotValue+taskTID, r1)
	g.slot(r1)
	g.mov(r8, r0)
	g.load(b64, r1, fp, slotValue+taskTID)
	g.movi(r0, 0)
	g.swap(r8, taskTID, r1)
	g.jumpIfi(jNe, r0, 0, full)
	for _, at := range []int{taskExe, taskBefore} { // only the task reads these, and it does not run yet
		g.load(b64, r1, fp, slotValue+at)
		g.store(b64, r8, at, r1)
	}
	g.jump(kept)
	g.label(full)
	g.countUp(inHash, 1)
	g.update(g.m.tasks, slotTID, slotValue, 0)
	g.jumpIfi(jEq, r0, 0, kept)
	g.countUp(inHash, -1)
	g.countUp(lostTasks, 1)
	g.label(kept)
}

// drop removes the task slotTID. If there is no such task, it jumps to the label none.
func (g *generator) drop(none string) {
	hashed, dropped := g.unique("hashed"), g.unique("dropped")
	g.load(b32, r1, fp, slotTID)
	g.slot(r1)
	g.load(b64, r1, r0, taskTID)
	g.load(b32, r2, fp, slotTID)
	g.jumpIf(jNe, r1, r2, hashed)
	g.storei(b64, r0, taskTID, 0)
	g.jump(dropped)
	g.label(hashed)
	g.mapFD(r1, g.m.tasks)
	g.stack(r2, slotTID)
	g.call(fnMapDelete)
	g.jumpIfi(jNe, r0, 0, none)
	g.countUp(inHash, -1)
	g.label(dropped)
}

// scratch puts the address of the processor's scratch memory into r9.
func (g *generator) scratch() {
	g.storei(b32, fp, slotZero, 0)
	g.lookup(g.m.scratch, slotZero)
	g.jumpIfi(jEq, r0, 0, leave)
	g.mov(r9, r0)
}
