package record

// This file builds the parts of the programs about files: they find the file that a path means, and the names above it.

// paths examines each path of the call. It emits the code for a path twice and not in a loop, because the verifier
// would analyse the loop once for each way through it.
func (g *generator) paths() {
	g.path(0, "second")
	g.label("second")
	g.load(b8, r1, r6, entryPaths+pathRegs+3)
	g.jumpIfi(jEq, r1, 0, leave)
	g.alui(opAdd, r6, pathRegs)
	g.path(1, leave)
}

// path examines one path, and then jumps to the label next.
func (g *generator) path(arg int32, next string) {
	byname, absolute, walk, tell, noflags := g.unique("byname"), g.unique("absolute"), g.unique("walk"), g.unique("tell"), g.unique("noflags")
	g.forget(slotNr, slotRet)
	g.storei(b64, fp, slotArg, arg)
	g.head(recordPath)
	g.arguments()
	g.beginHash()
	for i := range 3 {
		g.load(b64, r1, fp, slotCall+8+8*i)
		g.mix(r1)
	}
	g.load(b8, r1, r6, entryPaths+2)
	g.jumpIfi(jEq, r1, noRegister, noflags)
	g.register(r1, r1)
	g.mix(r1)
	g.label(noflags)
	g.load(b64, r1, fp, slotRet)
	g.jumpIfi(jSLt, r1, 0, byname)
	g.load(b8, r1, r6, entryOpens)
	g.jumpIfi(jEq, r1, 0, byname)
	g.load(b64, r8, fp, slotRet)
	g.fileOf(r8, byname)
	g.mixDentry(byname)
	g.unseen(next)
	g.mode()
	g.text()
	g.jump(walk)

	g.label(byname)
	g.text()
	g.load(b64, r1, fp, slotLen)
	g.jumpIfi(jLe, r1, 1, next) // the path could not be read, or is empty
	g.mixText(next)
	g.load(b64, r1, fp, slotRet)
	g.mixSign(r1)
	g.load(b8, r1, r9, scratchRecord+recordHead)
	g.jumpIfi(jEq, r1, '/', absolute)
	g.base(next)
	g.mixDentry(next)
	g.unseen(next)
	g.jump(walk)
	g.label(absolute)
	g.unseen(next)
	g.jump(tell)
	g.label(walk)
	g.walk()
	g.label(tell)
	g.tell()
	g.jump(next)
}

// forget makes the verifier forget what it knows about stack slots, so that it analyses one way through the program
// instead of many. r9 must be the address of the scratch memory.
func (g *generator) forget(slots ...int) {
	for _, slot := range slots {
		g.load(b64, r1, fp, slot)
		g.number64(r1)
		g.store(b64, fp, slot, r1)
	}
}

// number64 makes the verifier treat a value as an unknown number, even if the verifier knows that the value is a
// pointer, or which number it is.
func (g *generator) number64(r reg) {
	g.store(b64, r9, scratchPlain, r)
	g.load(b64, r, r9, scratchPlain)
}

// mapped examines the file that a call of mmap maps as code.
func (g *generator) mapped() {
	g.load(b64, r1, fp, slotCall+8) // prot
	g.jumpIfi(jSet, r1, 4, "code")
	g.jump(leave)
	g.label("code")
	g.load(b64, r1, fp, slotRet)
	g.jumpIfi(jSLt, r1, 0, leave)
	g.storei(b64, fp, slotArg, 0)
	g.head(recordMapped)
	g.load(b8, r1, r6, entryPaths+1)
	g.register(r8, r1)
	g.alui(opLsh, r8, 32)
	g.alui(opArs, r8, 32)
	g.jumpIfi(jSLt, r8, 0, leave)
	g.beginHash()
	g.fileOf(r8, leave)
	g.mixDentry(leave)
	g.unseen(leave)
	g.mode()
	g.walk()
	g.tell()
}

// fileOf finds the file of a descriptor and stores it in slotFile, slotDir and slotMnt. If there is no such file, it
// jumps to the label none. r7 must be the task. The verifier knows the task's type, so the program can follow the
// task's pointers without calling the kernel.
func (g *generator) fileOf(fd reg, none string) {
	l := g.l
	g.load(b64, r1, r7, l.files)
	g.jumpIfi(jEq, r1, 0, none)
	g.load(b64, r1, r1, l.fdt)
	g.load(b32, r2, r1, l.maxFDs)
	g.jumpIf(jGe, fd, r2, none)
	g.load(b64, r1, r1, l.fds)
	g.alui(opLsh, fd, 3)
	g.alu(opAdd, r1, fd)
	g.follow(r1, r1, 0)
	g.jumpIfi(jEq, r1, 0, none)
	g.store(b64, fp, slotFile, r1)
	g.pathAt(r1, l.filePath)
	g.jumpIfi(jEq, r1, 0, none)
}

// mode stores the mode of the file slotDir in the record, if the file still has an inode.
func (g *generator) mode() {
	none := g.unique("none")
	g.load(b64, r1, fp, slotDentry+dentryInode)
	g.jumpIfi(jEq, r1, 0, none)
	g.storei(b64, fp, slotTmp, 0)
	g.read(slotTmp, 2, r1, g.l.inodeMode)
	g.load(b32, r1, fp, slotTmp)
	g.store(b64, r9, scratchRecord+recMode, r1)
	g.label(none)
}

// pathAt loads a struct path into slotMnt and slotDir. After that r1 is the dentry.
func (g *generator) pathAt(at reg, off int) {
	l := g.l
	if l.pathMnt == 0 && l.pathDentry == 8 {
		g.storei(b64, fp, slotDentry, 0)
		g.storei(b64, fp, slotDentry+8, 0)
		g.read(slotDentry, 16, at, off)
		g.load(b64, r1, fp, slotDentry)
		g.store(b64, fp, slotMnt, r1)
		g.load(b64, r1, fp, slotDentry+8)
		g.store(b64, fp, slotDir, r1)
		return
	}
	g.mov(r8, at)
	g.follow(r1, r8, off+l.pathMnt)
	g.store(b64, fp, slotMnt, r1)
	g.follow(r1, r8, off+l.pathDentry)
	g.store(b64, fp, slotDir, r1)
}

// base finds the directory from which a relative path starts. If there is no such directory, it jumps to the label
// none.
func (g *generator) base(none string) {
	cwd, based := g.unique("cwd"), g.unique("based")
	g.load(b8, r1, r6, entryPaths+1)
	g.jumpIfi(jEq, r1, noRegister, cwd)
	g.register(r8, r1)
	g.alui(opLsh, r8, 32)
	g.alui(opArs, r8, 32)
	g.jumpIfi(jEq, r8, atFDCWD, cwd)
	g.jumpIfi(jSLt, r8, 0, none)
	g.fileOf(r8, none)
	g.jump(based)
	g.label(cwd)
	g.cwd(none)
	g.label(based)
}

// cwd finds the working directory. If there is none, it jumps to the label none.
func (g *generator) cwd(none string) {
	g.load(b64, r1, r7, g.l.fs)
	g.jumpIfi(jEq, r1, 0, none)
	g.pathAt(r1, g.l.pwd)
	g.jumpIfi(jEq, r1, 0, none)
}

// text copies the path of the call into the record.
func (g *generator) text() {
	failed, done := g.unique("failed"), g.unique("done")
	g.load(b8, r1, r6, entryPaths)
	g.register(r8, r1)
	g.load(b64, r1, fp, slotNr)
	native := g.unique("native")
	g.alui(opAnd, r1, compatBit)
	g.jumpIfi(jEq, r1, 0, native)
	g.alui(opLsh, r8, 32)
	g.alui(opRsh, r8, 32)
	g.label(native)
	g.mov(r1, r9)
	g.alui(opAdd, r1, scratchRecord+recordHead)
	g.movi(r2, maxName)
	g.mov(r3, r8)
	g.call(fnReadUserStr)
	g.keepText(failed, done)
}

// keepText stores the length of a text, which is in r0 and includes the NUL, in the record. It also fills the text's
// last words with zeros, for mixText.
func (g *generator) keepText(failed, done string) {
	g.jumpIfi(jSLe, r0, 0, failed)
	g.jumpIfi(jSGt, r0, maxName, failed)
	g.store(b64, fp, slotLen, r0)
	g.store(b32, r9, scratchRecord+recLen, r0)
	g.mov(r1, r9)
	g.alu(opAdd, r1, r0)
	g.storei(b64, r1, scratchRecord+recordHead, 0)
	g.storei(b64, r1, scratchRecord+recordHead+8, 0)
	g.jump(done)
	g.label(failed)
	g.storei(b64, fp, slotLen, 0)
	g.storei(b32, r9, scratchRecord+recLen, 0)
	g.label(done)
}

// walk appends names to the record: the names on the way from slotDir in slotMnt up to the task's root.
func (g *generator) walk() {
	l := g.l
	next, step, name, cut, done := g.unique("next"), g.unique("step"), g.unique("name"), g.unique("cut"), g.unique("walked")
	g.load(b64, r8, r7, l.fs)
	for _, m := range [][2]int{{l.pathMnt, slotRootM}, {l.pathDentry, slotRootD}} {
		g.load(b64, r1, r8, l.root+m[0])
		g.number64(r1)
		g.store(b64, fp, m[1], r1)
	}
	g.forget(slotNr, slotRet, slotLen)
	g.load(b64, r1, fp, slotMnt)
	g.follow(r1, r1, l.mntRoot)
	g.store(b64, fp, slotTop, r1)
	// The verifier knows nothing about this memory. So it treats the length as unknown, and does not analyse every
	// possible length.
	g.load(b64, r1, r9, scratchRecord+recMore)
	g.jumpIfi(jGt, r1, maxName-256, done)
	g.store(b64, fp, slotOff, r1)
	g.movi(r8, 0)
	g.label(next)
	g.atRoot(done)
	g.load(b64, r1, fp, slotTop)
	g.load(b64, r2, fp, slotDir)
	g.jumpIf(jNe, r1, r2, name)
	g.mountPoint(done)
	g.jump(step)
	g.label(name)
	g.appendName(done, cut)
	g.label(step)
	g.alui(opAdd, r8, 1)
	g.jumpIfi(jLt, r8, maxSteps, next)
	g.label(cut)
	g.countUp(cutPaths, 1)
	g.label(done)
	g.load(b64, r1, fp, slotOff)
	g.store(b32, r9, scratchRecord+recWalk, r1)
}

// atRoot ends a walk if the walk has reached the task's root, or if there is no directory.
func (g *generator) atRoot(done string) {
	up := g.unique("up")
	g.load(b64, r1, fp, slotDir)
	g.jumpIfi(jEq, r1, 0, done)
	g.load(b64, r2, fp, slotRootD)
	g.jumpIf(jNe, r1, r2, up)
	g.load(b64, r1, fp, slotMnt)
	g.load(b64, r2, fp, slotRootM)
	g.jumpIf(jEq, r1, r2, done)
	g.label(up)
}

// mountPoint continues a walk at the mount point, if the walk has reached the root of a mount.
func (g *generator) mountPoint(done string) {
	l := g.l
	g.load(b64, r1, fp, slotMnt)
	g.alui(opSub, r1, int32(l.mntMnt))
	g.store(b64, fp, slotFile, r1)
	g.follow(r1, r1, l.mntParent)
	g.load(b64, r2, fp, slotFile)
	g.jumpIf(jEq, r1, r2, done)
	g.alui(opAdd, r1, int32(l.mntMnt))
	g.store(b64, fp, slotMnt, r1)
	g.load(b64, r1, fp, slotFile)
	g.follow(r1, r1, l.mntPoint)
	g.store(b64, fp, slotDir, r1)
	g.load(b64, r1, fp, slotMnt)
	g.follow(r1, r1, l.mntRoot)
	g.store(b64, fp, slotTop, r1)
}

// appendName appends the name of slotDir to the record, and continues in its directory.
func (g *generator) appendName(done, cut string) {
	g.readDentry()
	g.load(b64, r1, fp, slotDentry+dentryParent)
	g.load(b64, r2, fp, slotDir)
	g.jumpIf(jEq, r1, r2, done) // the root of a file system that is not mounted anywhere
	g.load(b64, r3, fp, slotDentry+dentryName+8)
	g.load(b64, r4, fp, slotLen)
	g.alui(opAnd, r4, maxName*2-1)
	g.load(b64, r5, fp, slotOff)
	g.alui(opAnd, r5, maxName-1)
	g.mov(r1, r9)
	g.alui(opAdd, r1, scratchRecord+recordHead)
	g.alu(opAdd, r1, r4)
	g.alu(opAdd, r1, r5)
	g.movi(r2, 256)
	g.call(fnReadStr)
	g.jumpIfi(jSLe, r0, 0, cut)
	g.load(b64, r1, fp, slotOff)
	g.alu(opAdd, r1, r0)
	g.jumpIfi(jGt, r1, maxName-256, cut)
	g.store(b64, fp, slotOff, r1)
	g.load(b64, r1, fp, slotDentry+dentryParent)
	g.store(b64, fp, slotDir, r1)
}

// maxSteps is the largest number of names and mount points that a walk passes.
const maxSteps = 40

// tell sends the record. If the ring buffer is full, tell forgets the record's hash, so that the next such call sends
// it.
func (g *generator) tell() {
	told := g.unique("told")
	g.output()
	g.jumpIfi(jEq, r0, 0, told)
	g.mapFD(r1, g.m.seen)
	g.stack(r2, slotHash)
	g.call(fnMapDelete)
	g.countUp(lostRecords, 1)
	g.label(told)
}

// output copies the record to the ring buffer. After that r0 is 0, unless the buffer is full.
func (g *generator) output() {
	g.mapFD(r1, g.m.ring)
	g.mov(r2, r9)
	g.alui(opAdd, r2, scratchRecord)
	g.load(b64, r3, fp, slotLen)
	g.alui(opAnd, r3, maxName*2-1)
	g.load(b64, r4, fp, slotOff)
	g.alui(opAnd, r4, maxName-1)
	g.alu(opAdd, r3, r4)
	g.alui(opAdd, r3, recordHead)
	g.movi(r4, 0)
	g.call(fnRingOutput)
}

// These are offsets in what readDentry has read: d_parent, d_name (hash and length, then the name) and d_inode.
const (
	dentryParent = 0
	dentryName   = 8
	dentryInode  = 24
	dentrySize   = 32
)
