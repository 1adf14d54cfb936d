package record

// This file reads what the programs in the kernel have counted.

import (
	"cmp"
	"encoding/binary"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/policy/recording"
	"cordon/sandbox/internal/child"
)

// calledAt returns what the recorder knows about a call. nr is the call's number as the programs write it, with
// compatBit.
func (b *bpf) calledAt(nr uint32) *call {
	if nr&compatBit != 0 && nr < filter.X32Bit {
		return b.call(compatArch(b.native).Audit(), int32(nr&^compatBit))
	}
	return b.call(b.native.Audit(), int32(nr))
}

// errno returns the name of the error that a call's result means, or "" if the result is no error.
func errno(ret int64) string {
	if ret >= 0 || ret < -4095 {
		return ""
	}
	return unix.ErrnoName(unix.Errno(-ret))
}

// readCalls reads the maps in which the programs count calls.
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

// called adds a kind of call with the numbers that the programs have counted for it: see tally.
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

// readCounts reads how often each recorded event happened.
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

// readCaps reads which capabilities were requested, and for each the function of the kernel that has requested it.
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

// readCounters reads how many events the programs could not record.
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
	b.killed = read(killed)
}

// each calls do for the elements of a hash map, at most the given number of times. If elements are removed meanwhile,
// some elements may be passed to do twice.
func each(fd int, key, value uint32, most int, do func(k, v []byte)) {
	k, next, v := []byte(nil), make([]byte, key), make([]byte, value)
	for n := 0; n < most && child.NextKey(fd, k, next) == nil; n++ {
		if child.GetMap(fd, next, v) == nil {
			do(next, v)
		}
		k = append(k[:0], next...)
	}
}

// symbols are the kernel's functions, sorted by address.
type symbols []symbol

type symbol struct {
	at   uint64
	name string
}

// kernelSymbols reads /proc/kallsyms. It returns nothing if that file hides the addresses (kernel.kptr_restrict).
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

// asker returns the function in a stack trace that needed the capability: the innermost function that is not itself a
// part of the capability check.
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

// callOf returns the name of a system call if a kernel function is the entry of a system call. Otherwise it returns the
// function's name.
func callOf(name string) string {
	for _, prefix := range [...]string{"__x64_sys_", "__arm64_sys_", "__ia32_sys_", "__do_sys_", "__se_sys_"} {
		if call, ok := strings.CutPrefix(name, prefix); ok {
			return call
		}
	}
	return name
}

// asks reports whether a kernel function is a part of the capability check itself.
func asks(name string) bool {
	for _, prefix := range [...]string{"bpf_", "__bpf_", "__traceiter_", "trace_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return strings.Contains(name, "capable")
}
