package record

// This file adds processes that already run to a recording.

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy/recording"
	"cordon/sandbox/internal/child"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/statedir"
)

// maxRounds bounds how often attach lists the processes, which may fork meanwhile.
const maxRounds = 100

// welcome adds processes that enter a sandbox, and records the counters of the sandbox's cgroups. It does so until the
// recording stops.
func (b *bpf) welcome(to *Running) {
	defer b.drained.Done()
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		b.groupsCount(to.entry)
		select {
		case <-b.done:
			b.groupsCount(to.entry)
			return
		case <-t.C:
			_, _ = b.joinAll(to) // after an error, the next tick tries again
		}
	}
}

// groupsCount reads what the sandbox's cgroups have counted since the sandbox's start, if the sandbox has cgroups.
func (b *bpf) groupsCount(e *statedir.Entry) {
	if e.State.Cgroup == nil {
		return
	}
	c, err := e.State.Cgroup.Stats()
	if err != nil {
		return // the sandbox has ended
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.Memory != nil {
		b.counted(c.Memory.Peak, nil)
	}
	if c.PIDs != nil {
		b.counted(nil, c.PIDs.Peak)
	}
}

// joinAll gives the programs in the kernel the ids of all threads that they do not know. It returns the number of these
// threads.
func (b *bpf) joinAll(to *Running) (added int, err error) {
	list, err := to.list()
	for _, p := range list {
		added += b.join(p)
	}
	return added, err
}

// join gives the programs in the kernel the ids of a process's threads. If a thread has ended meanwhile, join removes
// its id again, because another thread may get the same id.
func (b *bpf) join(p *statedir.Process) (added int) {
	threads, all := namesIn(procPath(p.PID, "task"), maxTasks)
	_, n, ok := b.running(p.PID)
	if !ok {
		return 0
	}
	if !all {
		b.lose("tasks")
	}
	var keys [][]byte
	for _, name := range threads {
		tid, _ := strconv.ParseUint(name, 10, 32) // the kernel writes only numbers here
		key := binary.LittleEndian.AppendUint32(nil, uint32(tid))
		if b.placed(uint32(tid)) {
			continue
		}
		switch err := child.AddMap(b.m.tasks, key, taskValue(uint32(tid), n)); err {
		case nil:
			keys = append(keys, key)
		case unix.EEXIST:
		default:
			b.lose("tasks")
		}
	}
	if len(keys) == 0 {
		return 0
	}
	now, later, ok := b.running(p.PID)
	for _, key := range keys {
		id := binary.LittleEndian.Uint32(key)
		tid := strconv.FormatUint(uint64(id), 10)
		switch value := make([]byte, taskSize); {
		case b.placed(id) || !ok || startOf(procPath(p.PID, "stat")) != p.Start || startOf(procPath(p.PID, "task/"+tid+"/stat")) == 0:
			_ = child.DeleteMap(b.m.tasks, key) // ENOENT: the programs have noticed its end too
		case later != n && child.GetMap(b.m.tasks, key, value) == nil && binary.LittleEndian.Uint32(value[taskExe:]) == n:
			_ = child.SetMap(b.m.tasks, key, taskValue(id, later)) // it has meanwhile executed another program
		}
	}
	if ok {
		b.had(p.PID, now)
		b.sampler.add(p.PID)
	}
	return len(keys)
}

// lose counts an event that is missing in the recording.
func (b *bpf) lose(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lost[what]++
}

// running returns the executable that a process runs now, and the number by which the kernel's programs know it.
func (b *bpf) running(pid int) (x recording.Executable, number uint32, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if x, ok = b.program(pid); ok {
		number = b.number(x)
	}
	return x, number, ok
}

// placed reports whether the kernel's programs already know a thread, because they have seen its creation.
func (b *bpf) placed(tid uint32) bool {
	value := make([]byte, taskSize)
	return child.GetMap(b.m.slots, binary.LittleEndian.AppendUint32(nil, tid&(maxTasks-1)), value) == nil &&
		binary.LittleEndian.Uint64(value[taskTID:]) == uint64(tid)
}

// taskValue returns the map value for a recorded thread and its executable.
func taskValue(tid, exe uint32) []byte {
	v := make([]byte, taskSize)
	binary.LittleEndian.PutUint64(v[taskTID:], uint64(tid))
	binary.LittleEndian.PutUint32(v[taskExe:], exe)
	binary.LittleEndian.PutUint32(v[taskState:], taskOn)
	return v
}

// lateExe is the first number that the method number assigns once the kernel's programs assign numbers themselves.
const lateExe = 1 << 30

// number returns the number of an executable whose execve the kernel's programs have not seen. If the executable has no
// number yet, it assigns one.
func (b *bpf) number(x recording.Executable) uint32 {
	i := b.executable(x)
	n, ok := b.numbers[i]
	if !ok {
		n = uint32(len(b.numbers))
		if b.begun {
			n += lateExe
		}
		if b.numbers == nil {
			b.numbers = map[int]uint32{}
		}
		b.numbers[i], b.exeOf[n] = n, i
	}
	return n
}

// had records what a process already has: its executable, the files that are mapped into it, and its open files.
func (b *bpf) had(pid int, x recording.Executable) {
	maps, allMaps, err := proc.Head(procPath(pid, "maps"), maxMaps) // after an error, maps is empty
	files, allFiles := namesIn(procPath(pid, "fd"), maxOpenFiles)
	b.mu.Lock()
	defer b.mu.Unlock()
	if !allFiles || err == nil && !allMaps {
		b.lost["what a program had"]++
	}
	exe := b.executable(x)
	if b.events[fact{exe: -1, kind: recording.KindExec, text: x.Path}] == nil {
		b.begins(b.root, x.Path)
	}
	for line := range bytes.Lines(maps) {
		f := bytes.SplitN(bytes.TrimSpace(line), []byte{' '}, 6)
		if name := strings.TrimSpace(string(f[len(f)-1])); len(f) == 6 && bytes.HasPrefix(f[1], []byte("r-x")) && strings.HasPrefix(name, "/") && !strings.HasSuffix(name, " (deleted)") {
			b.mapped(exe, name)
		}
	}
	for _, name := range files {
		if n, err := strconv.Atoi(name); err == nil && n > 2 { // 0 to 2 were given to the program
			b.hadOpen(pid, n, exe)
		}
	}
}

// hadOpen records a file that a process already has open.
func (b *bpf) hadOpen(pid, fd, exe int) {
	name, ok := link(procPath(pid, "fd/"+strconv.Itoa(fd)))
	if !ok || !strings.HasPrefix(name, "/") || strings.HasSuffix(name, " (deleted)") {
		return
	}
	info, _, _ := proc.Head(procPath(pid, "fdinfo/"+strconv.Itoa(fd)), 1024) // of an epoll instance it lists all watched files
	_, rest, _ := strings.Cut(string(info), "flags:")
	line, _, _ := strings.Cut(rest, "\n")
	flags, err := strconv.ParseUint(strings.TrimSpace(line), 8, 32)
	if err != nil {
		return // the process has closed it
	}
	want, found := opens(flags&^(oCreat|oTrunc)), look(b.root, name)
	if found.kind == recording.TypeDir && want == recording.Read {
		want = recording.List
	}
	f := fact{exe, recording.KindPath, name, uint32(want) << 1}
	if b.events[f] == nil {
		b.add(f, found.event(name, want))
	}
}
