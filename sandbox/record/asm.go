package record

// This file is an assembler for the eBPF instructions that the recorder's programs use:
// Documentation/bpf/standardization/instruction-set.rst.

import (
	"encoding/binary"
	"fmt"
)

type reg uint8

// These are the registers: r0 holds a result. r1 to r5 hold arguments, and a call overwrites them. r6 to r9 keep their
// values. fp points to the end of the stack.
const (
	r0 reg = iota
	r1
	r2
	r3
	r4
	r5
	r6
	r7
	r8
	r9
	fp
)

// These are the sizes of loads and stores.
const (
	b32 = 0x00
	b16 = 0x08
	b8  = 0x10
	b64 = 0x18
)

// These are operations of arithmetic, on 64 bits.
const (
	opAdd = 0x07
	opSub = 0x17
	opMul = 0x27
	opOr  = 0x47
	opAnd = 0x57
	opLsh = 0x67
	opRsh = 0x77
	opXor = 0xa7
	opMov = 0xb7
	opArs = 0xc7
)

// These are conditions of jumps, on 64 bits.
const (
	jEq  = 0x15
	jGt  = 0x25
	jGe  = 0x35
	jSet = 0x45
	jNe  = 0x55
	jSGt = 0x65
	jSGe = 0x75
	jLt  = 0xa5
	jLe  = 0xb5
	jSLt = 0xc5
	jSLe = 0xd5
)

// fromReg is the bit in an opcode that says that the operand is a register.
const fromReg = 0x08

// These are helpers, which are functions of the kernel that a program may call: bpf-helpers(7).
const (
	fnMapLookup   = 1
	fnMapUpdate   = 2
	fnMapDelete   = 3
	fnStackID     = 27
	fnTaskBTF     = 158
	fnTaskRegs    = 175
	fnReadUser    = 112
	fnRead        = 113
	fnReadUserStr = 114
	fnReadStr     = 115
	fnRingOutput  = 130
)

type insn struct {
	op       uint8
	dst, src reg
	off      int16
	imm      int32
	to       string // the label to which a jump leads, from which bytes computes off
}

// asm is an eBPF program that is being built.
type asm struct {
	insns  []insn
	labels map[string]int
	names  int
}

func (a *asm) put(i insn)                      { a.insns = append(a.insns, i) }
func (a *asm) mov(dst, src reg)                { a.put(insn{op: opMov | fromReg, dst: dst, src: src}) }
func (a *asm) movi(dst reg, v int32)           { a.put(insn{op: opMov, dst: dst, imm: v}) }
func (a *asm) alu(op uint8, dst, src reg)      { a.put(insn{op: op | fromReg, dst: dst, src: src}) }
func (a *asm) alui(op uint8, dst reg, v int32) { a.put(insn{op: op, dst: dst, imm: v}) }
func (a *asm) load(size uint8, dst, at reg, off int) {
	a.put(insn{op: 0x61 | size, dst: dst, src: at, off: int16(off)})
}
func (a *asm) store(size uint8, at reg, off int, src reg) {
	a.put(insn{op: 0x63 | size, dst: at, src: src, off: int16(off)})
}
func (a *asm) storei(size uint8, at reg, off int, v int32) {
	a.put(insn{op: 0x62 | size, dst: at, off: int16(off), imm: v})
}
func (a *asm) jump(to string) { a.put(insn{op: 0x05, to: to}) }
func (a *asm) jumpIf(op uint8, x, y reg, to string) {
	a.put(insn{op: op | fromReg, dst: x, src: y, to: to})
}
func (a *asm) jumpIfi(op uint8, x reg, v int32, to string) {
	a.put(insn{op: op, dst: x, imm: v, to: to})
}
func (a *asm) call(fn int32) { a.put(insn{op: 0x85, imm: fn}) }
func (a *asm) exit()         { a.put(insn{op: 0x95}) }

// add emits an atomic addition of register src to 64 bits of memory. If fetch is true, src then holds the value that
// the memory had before.
func (a *asm) add(at reg, off int, src reg, fetch bool) {
	i := insn{op: 0xdb, dst: at, src: src, off: int16(off)}
	if fetch {
		i.imm = 1
	}
	a.put(i)
}

// swap emits an atomic exchange: if 64 bits of memory equal r0, they become register src. r0 then holds the value that
// the memory had before.
func (a *asm) swap(at reg, off int, src reg) {
	a.put(insn{op: 0xdb, dst: at, src: src, off: int16(off), imm: 0xf1})
}

// word loads a 64-bit constant into a register.
func (a *asm) word(dst reg, v uint64) {
	a.put(insn{op: 0x18, dst: dst, imm: int32(uint32(v))})
	a.put(insn{imm: int32(uint32(v >> 32))})
}

// mapFD loads the address of a BPF map into a register.
func (a *asm) mapFD(dst reg, fd int) {
	a.put(insn{op: 0x18, dst: dst, src: 1, imm: int32(fd)})
	a.put(insn{})
}

// label gives the next instruction a name, so that jumps can lead to it.
func (a *asm) label(name string) {
	if a.labels == nil {
		a.labels = map[string]int{}
	}
	a.labels[name] = len(a.insns)
}

// unique returns a new name for a label.
func (a *asm) unique(name string) string {
	a.names++
	return fmt.Sprint(name, ".", a.names)
}

// stack puts the address of a stack slot into a register.
func (a *asm) stack(dst reg, off int) {
	a.mov(dst, fp)
	a.alui(opAdd, dst, int32(off))
}

// lookup looks up a key, which is on the stack, in a map. r0 is then the address of the value, or 0 if there is none.
func (a *asm) lookup(fd, key int) {
	a.mapFD(r1, fd)
	a.stack(r2, key)
	a.call(fnMapLookup)
}

// update sets a key of a map to a value; both are on the stack. r0 is then 0 or a negative errno.
func (a *asm) update(fd, key, value int, flags int32) {
	a.mapFD(r1, fd)
	a.stack(r2, key)
	a.stack(r3, value)
	a.movi(r4, flags)
	a.call(fnMapUpdate)
}

// read copies n bytes of the kernel's memory to the stack. The bytes begin at the address in register at plus off.
func (a *asm) read(slot, n int, at reg, off int) {
	a.mov(r3, at)
	if off != 0 {
		a.alui(opAdd, r3, int32(off))
	}
	a.stack(r1, slot)
	a.movi(r2, int32(n))
	a.call(fnRead)
}

// follow loads a pointer from the kernel's memory, at the address in a register plus off. If that memory cannot be
// read, it loads 0.
func (a *asm) follow(dst, at reg, off int) {
	a.storei(b64, fp, slotTmp, 0)
	a.read(slotTmp, 8, at, off)
	a.load(b64, dst, fp, slotTmp)
}

// bytes returns the program in the kernel's format.
func (a *asm) bytes() ([]byte, error) {
	out := make([]byte, 0, 8*len(a.insns))
	for n, i := range a.insns {
		if i.to != "" {
			at, ok := a.labels[i.to]
			if d := at - n - 1; ok && d == int(int16(d)) {
				i.off = int16(d)
			} else {
				return nil, fmt.Errorf("no way to label %s", i.to)
			}
		}
		out = append(out, i.op, byte(i.src)<<4|byte(i.dst))
		out = binary.LittleEndian.AppendUint16(out, uint16(i.off))
		out = binary.LittleEndian.AppendUint32(out, uint32(i.imm))
	}
	return out, nil
}
