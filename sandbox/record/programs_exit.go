package record

// This file builds the program that examines each call when it ends.

import (
	"slices"

	"cordon/policy/recording"
)

// sysExit makes the program that runs at the end of each call.
func (g *generator) sysExit() {
	g.mov(r6, r1)
	g.watched()
	g.storei(b64, fp, slotKind, 0)
	g.load(b32, r2, r0, taskState)
	g.load(b32, r1, r0, taskExe)
	g.jumpIfi(jNe, r2, taskOn, "rare")
	g.plain()
	g.jump("on")
	g.label("rare")
	g.jumpIfi(jEq, r2, taskArmed, leave)
	g.movi(r3, taskOn)
	g.store(b32, r0, taskState, r3)
	g.jumpIfi(jEq, r2, taskFirst, leave)
	g.jumpIfi(jGe, r2, taskReceived, "received")
	g.load(b32, r1, r0, taskBefore)
	g.storei(b64, fp, slotKind, 1)
	g.jump("on")
	g.label("received")
	g.answer()
	g.label("on")
	g.store(b32, fp, slotExe, r1)
	g.store(b32, fp, slotCall, r1)
	g.load(b64, r1, r6, 8)
	g.store(b64, fp, slotRet, r1)
	g.load(b64, r8, r6, 0) // struct pt_regs, whose type the verifier knows here
	g.callNumber(r1, r8)
	g.jumpIfi(jSGe, r1, 0, "numbered")
	g.movi(r1, int32(g.sigreturn)) // rt_sigreturn has restored the interrupted registers, and set the number to -1
	g.storei(b64, fp, slotRet, 0)
	g.label("numbered")
	g.number(r1)
	g.scratch()
	for _, off := range g.l.regs {
		g.load(b64, r1, r8, off)
		g.store(b64, r9, scratchRegs+off, r1)
	}
	for _, off := range g.l.compat {
		if !slices.Contains(g.l.regs[:], off) {
			g.load(b64, r1, r8, off)
			g.store(b64, r9, scratchRegs+off, r1)
		}
	}
	g.count()
	g.jumpIfi(jEq, r6, 0, leave)
	g.load(b64, r1, fp, slotKind)
	g.jumpIfi(jNe, r1, 0, leave)
	g.load(b8, r1, r6, entryWhat)
	g.jumpIfi(jEq, r1, 0, leave)
	g.jumpIfi(jEq, r1, recordAddr, "address")
	g.jumpIfi(jEq, r1, recordMapped, "mapped")
	g.paths()
	g.label("address")
	g.address()
	g.jump(leave)
	g.label("mapped")
	g.mapped()
	g.end()
}

// callNumber loads the number of a call from its registers.
func (g *generator) callNumber(dst, regs reg) {
	g.load(g.l.nrBits, dst, regs, g.l.nr)
	if g.l.nrBits == b32 {
		g.alui(opLsh, dst, 32)
		g.alui(opArs, dst, 32)
	}
}

// number stores the call's number, with compatBit for a call of the other ABI. It puts the address of the call's table
// entry into r6, or 0 if there is no entry.
func (g *generator) number(nr reg) {
	native, have, none := g.unique("native"), g.unique("have"), g.unique("none")
	g.store(b64, fp, slotNr, nr)
	g.store(b32, fp, slotCall+4, nr)
	g.store(b32, fp, slotZero, nr)
	if g.l.compatStatus != 0 {
		g.load(b32, r1, r7, g.l.status)
		g.jumpIfi(jSet, r1, g.l.compatStatus, "compat")
		g.jump(native)
		g.label("compat")
		g.load(b64, r1, fp, slotNr)
		g.jumpIfi(jGe, r1, tableSize, none)
		g.alui(opOr, r1, compatBit)
		g.store(b64, fp, slotNr, r1)
		g.store(b32, fp, slotCall+4, r1)
		g.alui(opSub, r1, compatBit-tableSize)
		g.store(b32, fp, slotZero, r1)
		g.jump(have)
	}
	g.label(native)
	g.load(b64, r1, fp, slotNr)
	g.jumpIfi(jGe, r1, tableSize, none)
	g.label(have)
	g.lookup(g.m.table, slotZero)
	g.mov(r6, r0)
	g.jump(have + "2")
	g.label(none)
	g.movi(r6, 0)
	g.label(have + "2")
}

// plain counts, in an array, a call of which only the number matters, and ends the program. Most calls are of this
// kind. plain does not call the kernel, because that would take as long as everything else together. r1 is the
// executable, and is preserved; r6 is the program's context.
func (g *generator) plain() {
	g.jumpIfi(jGe, r1, plainExes, "keyed")
	g.mov(r8, r1)
	if g.l.compatStatus != 0 {
		g.load(b32, r2, r7, g.l.status)
		g.jumpIfi(jSet, r2, g.l.compatStatus, "keyed")
	}
	g.load(b64, r2, r6, 0)
	g.callNumber(r9, r2)
	g.jumpIfi(jGe, r9, tableSize, "keyed")
	g.store(b32, fp, slotZero, r9)
	g.lookup(g.m.table, slotZero)
	g.jumpIfi(jEq, r0, 0, leave)
	g.load(b8, r1, r0, entryPlain)
	g.jumpIfi(jEq, r1, 0, "other")
	g.alui(opMul, r8, tableSize)
	g.alu(opAdd, r8, r9)
	g.store(b32, fp, slotZero, r8)
	g.lookup(g.m.plain, slotZero)
	g.jumpIfi(jEq, r0, 0, leave)
	g.load(b64, r2, r6, 8)
	g.tally()
	g.jump(leave)
	g.label("other")
	g.mov(r1, r8)
	g.label("keyed")
}

// plainExes is the number of executables for which the array of plain has counters. The calls of all other executables
// are counted in a hash map.
const plainExes = 64

// count makes the call's key, and counts the call under it.
func (g *generator) count() {
	for i := range 3 {
		g.storei(b64, fp, slotCall+8+8*i, 0)
	}
	g.jumpIfi(jEq, r6, 0, "counted")
	for i := range 3 {
		g.load(b8, r1, r6, entryRegs+i)
		g.register(r1, r1)
		if i < 2 {
			g.behind(i)
		}
		g.load(b64, r2, r6, entryMasks+8*i)
		g.alu(opAnd, r1, r2)
		g.store(b64, fp, slotCall+8+8*i, r1)
	}
	g.label("counted")
	g.countKey()
}

// behind replaces r1, masked argument i, by a word of the memory at r1, if the table says so. After a successful call
// this memory is readable, because the kernel has read it. If it is not, behind counts the call as lost. There is an
// exception: in a new task, in which the call returns 0, the memory may not be present yet. Then behind ends the
// program and counts nothing.
func (g *generator) behind(i int) {
	here, read, lost := g.unique("here"), g.unique("read"), g.unique("lost")
	g.load(b8, r2, r6, entryBehind+i)
	g.jumpIfi(jEq, r2, 0, here)
	g.alui(opLsh, r2, 3)
	g.alu(opAdd, r1, r2)
	g.mov(r3, r1)
	g.alui(opAdd, r3, -8)
	g.storei(b64, fp, slotTmp, 0)
	g.stack(r1, slotTmp)
	g.movi(r2, 8)
	g.call(fnReadUser)
	g.jumpIfi(jEq, r0, 0, read)
	g.storei(b64, fp, slotTmp, 0)
	g.load(b64, r1, fp, slotRet)
	g.jumpIfi(jSLt, r1, 0, read)
	g.jumpIfi(jNe, r1, 0, lost)
	g.load(b8, r2, r6, entryOpens)
	g.jumpIfi(jEq, r2, 0, leave)
	g.label(lost)
	g.countUp(lostCalls, 1)
	g.label(read)
	g.load(b64, r1, fp, slotTmp)
	g.label(here)
}

// register loads the saved register with a given number.
func (g *generator) register(dst, n reg) {
	g.alui(opAnd, n, maxRegs/8-1)
	g.alui(opLsh, n, 3)
	if dst != n {
		g.mov(dst, n)
	}
	g.mov(r0, r9)
	g.alu(opAdd, r0, dst)
	g.load(b64, dst, r0, scratchRegs)
}

// countKey counts the call whose key is in slotCall.
func (g *generator) countKey() {
	done, known := g.unique("done"), g.unique("known")
	g.lookup(g.m.calls, slotCall)
	g.jumpIfi(jNe, r0, 0, known)
	for i := range 3 {
		g.storei(b64, fp, slotValue+8*i, 0)
	}
	g.update(g.m.calls, slotCall, slotValue, 1) // BPF_NOEXIST, because another processor may have been faster
	g.lookup(g.m.calls, slotCall)
	g.jumpIfi(jNe, r0, 0, known)
	g.countUp(lostCalls, 1)
	g.jump(done)
	g.label(known)
	g.load(b64, r2, fp, slotRet)
	g.tally()
	g.label(done)
}

// tally adds a call with the result r2 to the value at r0. The value has three words: the number of calls, 1 if any
// call has succeeded, and the errno of the calls that have failed, or 1 if their errnos differ.
func (g *generator) tally() {
	done, good, failed, mixed := g.unique("done"), g.unique("good"), g.unique("failed"), g.unique("mixed")
	g.movi(r1, 1)
	g.add(r0, 0, r1, false)
	g.jumpIfi(jSGe, r2, 0, good)
	g.jumpIfi(jSGt, r2, -4096, failed)
	g.label(good)
	g.load(b64, r2, r0, 8)
	g.jumpIfi(jNe, r2, 0, done)
	g.store(b64, r0, 8, r1)
	g.jump(done)
	g.label(failed)
	g.load(b64, r3, r0, 16)
	g.jumpIf(jEq, r3, r2, done)
	g.jumpIfi(jNe, r3, 0, mixed)
	g.store(b64, r0, 16, r2)
	g.jump(done)
	g.label(mixed)
	g.store(b64, r0, 16, r1)
	g.label(done)
}

// head fills in the head of a record.
func (g *generator) head(kind int32) {
	rec := scratchRecord
	g.storei(b32, r9, rec+recKind, kind)
	g.load(b32, r1, fp, slotExe)
	g.store(b32, r9, rec+recExe, r1)
	g.load(b64, r1, fp, slotNr)
	g.store(b32, r9, rec+recNr, r1)
	g.load(b64, r1, fp, slotArg)
	g.store(b32, r9, rec+recArg, r1)
	g.load(b64, r1, fp, slotRet)
	g.store(b64, r9, rec+recRet, r1)
	for _, at := range []int{recHash, recHash + 8, recLen, recMode, recMore} {
		g.storei(b64, r9, rec+at, 0)
	}
	g.storei(b64, fp, slotLen, 0)
	g.storei(b64, fp, slotOff, 0)
}

// arguments copies the argument registers into the record.
func (g *generator) arguments() {
	compat, done := g.unique("compat"), g.unique("done")
	g.load(b64, r1, fp, slotNr)
	g.jumpIfi(jSet, r1, compatBit, compat)
	for i, off := range g.l.regs {
		g.load(b64, r1, r9, scratchRegs+off)
		g.store(b64, r9, scratchRecord+recArgs+8*i, r1)
	}
	g.jump(done)
	g.label(compat)
	for i, off := range g.l.compat {
		g.load(b32, r1, r9, scratchRegs+off)
		g.store(b64, r9, scratchRecord+recArgs+8*i, r1)
	}
	g.label(done)
	asked := g.unique("asked")
	g.load(b8, r1, r6, entryOpens)
	g.jumpIfi(jNe, r1, opensBehind, asked)
	g.load(b64, r1, fp, slotCall+16)
	g.store(b64, r9, scratchRecord+recArgs+8*recording.Pointer("openat2"), r1)
	g.label(asked)
}
