package record

// This file builds the parts of the programs that compute hashes of records. The programs remember the hashes, so that
// they send each record only once.

// beginHash starts the hash of a record. The hash has two words, each from a seed that nobody in the sandbox knows. So
// a program cannot hide an event by causing another event with the same hash before.
func (g *generator) beginHash() {
	for i, seed := range g.seed {
		g.word(r1, seed)
		g.store(b64, fp, slotHash+8*i, r1)
	}
	g.load(b64, r1, fp, slotCall) // the executable and the call's number
	g.mix(r1)
	g.load(b64, r1, fp, slotArg)
	g.mix(r1)
}

// mix adds a word to the hash. It overwrites r2, r3 and the word.
func (g *generator) mix(v reg) {
	for i, k := range primes {
		g.load(b64, r2, fp, slotHash+8*i)
		g.alu(opXor, r2, v)
		g.word(r3, k^g.seed[1-i]&^1)
		g.alu(opMul, r2, r3)
		g.mov(r3, r2)
		g.alui(opRsh, r3, 29)
		g.alu(opXor, r2, r3)
		g.store(b64, fp, slotHash+8*i, r2)
	}
}

// mixSign adds to the hash whether a result is negative.
func (g *generator) mixSign(v reg) {
	g.alui(opArs, v, 63)
	g.mix(v)
}

// mixDentry adds the identity of the file slotDir to the hash: its directory, name and inode. If a file is freed and
// another is created at the same address, they differ in at least one of these. If the file has no inode, mixDentry
// jumps to the label none.
func (g *generator) mixDentry(none string) {
	g.readDentry()
	g.load(b64, r1, fp, slotDentry+dentryInode)
	g.jumpIfi(jEq, r1, 0, none)
	g.mix(r1)
	for _, slot := range []int{slotDir, slotDentry + dentryParent, slotDentry + dentryName, slotDentry + dentryName + 8} {
		g.load(b64, r1, fp, slot)
		g.mix(r1)
	}
}

// readDentry reads members of slotDir into slotDentry. If they cannot be read, it stores zeros. In every kernel so far
// the members are adjacent.
func (g *generator) readDentry() {
	l := g.l
	for i := range dentrySize / 8 {
		g.storei(b64, fp, slotDentry+8*i, 0)
	}
	members := [][3]int{{dentryParent, 8, l.dParent}, {dentryName, 16, l.dName}, {dentryInode, 8, l.dInode}}
	if l.dName == l.dParent+dentryName && l.dInode == l.dParent+dentryInode {
		members = [][3]int{{0, dentrySize, l.dParent}}
	}
	for _, m := range members {
		g.load(b64, r3, fp, slotDir)
		g.read(slotDentry+m[0], m[1], r3, m[2])
	}
}

// mixText adds the record's text to the hash, two words at a time, with padding at the end. If the text is too long, it
// jumps to the label long, because the verifier counts every turn of the loop.
func (g *generator) mixText(long string) {
	next, done, fits := g.unique("word"), g.unique("words"), g.unique("fits")
	g.load(b32, r1, r9, scratchRecord+recLen)
	g.jumpIfi(jLe, r1, maxText, fits)
	g.countUp(cutPaths, 1)
	g.jump(long)
	g.label(fits)
	g.forget(slotNr, slotRet, slotLen)
	g.load(b64, r4, fp, slotHash)
	g.load(b64, r5, fp, slotHash+8)
	g.store(b64, fp, slotTask, r7)
	g.word(r7, primes[0])
	g.word(r2, primes[1])
	g.movi(r8, 0)
	g.label(next)
	g.load(b32, r1, r9, scratchRecord+recLen)
	g.jumpIf(jGe, r8, r1, done)
	g.mov(r0, r9)
	g.alu(opAdd, r0, r8)
	g.load(b64, r1, r0, scratchRecord+recordHead)
	g.alu(opXor, r4, r1)
	g.alu(opMul, r4, r7)
	g.load(b64, r1, r0, scratchRecord+recordHead+8)
	g.alu(opXor, r5, r1)
	g.alu(opMul, r5, r2)
	g.mov(r3, r4)
	g.alui(opRsh, r3, 31)
	g.alu(opXor, r5, r3)
	g.mov(r3, r5)
	g.alui(opRsh, r3, 29)
	g.alu(opXor, r4, r3)
	g.alui(opAdd, r8, 16)
	g.jumpIfi(jLt, r8, maxText, next)
	g.label(done)
	g.store(b64, fp, slotHash, r4)
	g.store(b64, fp, slotHash+8, r5)
	g.load(b64, r7, fp, slotTask)
}

// maxText is the longest path in bytes that the programs can hash.
const maxText = 1024

// primes holds the factors of the hash: odd numbers without a pattern.
var primes = [2]uint64{0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f}

// unseen lets the program go on if the hash is new. Otherwise it counts the record and jumps to the label seen.
func (g *generator) unseen(seen string) {
	fresh, known := g.unique("fresh"), g.unique("known")
	g.lookup(g.m.seen, slotHash)
	g.jumpIfi(jEq, r0, 0, fresh)
	g.label(known)
	g.movi(r1, 1)
	g.add(r0, 0, r1, false)
	g.jump(seen)
	g.label(fresh)
	g.storei(b64, fp, slotOne, 1)
	g.update(g.m.seen, slotHash, slotOne, 1)
	added := g.unique("added")
	g.jumpIfi(jEq, r0, 0, added)
	g.lookup(g.m.seen, slotHash) // the update fails if another processor was faster
	g.jumpIfi(jNe, r0, 0, known)
	g.countUp(lostSeen, 1)
	g.jump(seen)
	g.label(added)
	for i := range 2 {
		g.load(b64, r1, fp, slotHash+8*i)
		g.store(b64, r9, scratchRecord+recHash+8*i, r1)
	}
}
