package record

// This file builds the parts of the programs about tasks, addresses and capabilities.

// exec builds the program that runs after a successful execve, at sched_process_exec. The tracepoint's arguments are
// task, old_pid and bprm.
func (g *generator) exec() {
	g.load(b64, r6, r1, 16)
	g.load(b64, r8, r1, 8) // differs from the new id if execve was called by another thread than the first
	g.find(r8, leave)
	g.load(b32, r1, r0, taskExe)
	g.store(b32, fp, slotExe, r1)
	g.load(b32, r1, r0, taskState)
	g.store(b64, fp, slotKind, r1)
	g.call(fnTaskBTF)
	g.mov(r7, r0)
	g.scratch()
	g.identify()
	g.become()
	g.request()
	g.end()
}

// identify stores the number of the current executable in slotArg. If the executable is new, identify assigns a number
// and sends a record.
func (g *generator) identify() {
	g.storei(b64, fp, slotCall, 0)
	g.storei(b64, fp, slotArg, 0)
	g.storei(b64, fp, slotNr, 0)
	g.storei(b64, fp, slotRet, 0)
	g.follow(r1, r7, g.l.mm)
	g.jumpIfi(jEq, r1, 0, leave)
	g.follow(r1, r1, g.l.exeFile)
	g.jumpIfi(jEq, r1, 0, leave)
	g.pathAt(r1, g.l.filePath)
	g.jumpIfi(jEq, r1, 0, leave)
	g.beginHash()
	g.mixDentry(leave)
	g.lookup(g.m.exes, slotHash)
	g.jumpIfi(jEq, r0, 0, "newexe")
	g.load(b64, r1, r0, 0)
	g.store(b64, fp, slotArg, r1)
	g.jump("identified")
	g.label("newexe")
	g.counter(lastExe)
	g.movi(r1, 1)
	g.add(r0, 0, r1, true)
	g.store(b64, fp, slotArg, r1)
	g.update(g.m.exes, slotHash, slotArg, 0) // if the map is full, the next run of the executable gets another number
	g.head(recordExe)
	g.walk()
	g.tell()
	g.label("identified")
}

// become gives the task a new value: the new executable, the previous one, and the task's new id.
func (g *generator) become() {
	g.load(b64, r1, fp, slotArg)
	g.store(b32, fp, slotValue+taskExe, r1)
	g.load(b32, r1, fp, slotExe)
	g.store(b64, fp, slotValue+taskBefore, r1)
	g.movi(r2, taskExec)
	g.load(b64, r1, fp, slotKind)
	g.jumpIfi(jNe, r1, taskArmed, "became")
	g.movi(r2, taskFirst)
	g.label("became")
	g.store(b32, fp, slotValue+taskState, r2)
	g.drop("dropped")
	g.label("dropped")
	g.load(b32, r1, r7, g.l.pid)
	g.store(b32, fp, slotTID, r1)
	g.keep()
}

// request sends a record that says which executable executes which file, and by which path.
func (g *generator) request() {
	g.head(recordExec)
	g.load(b32, r1, fp, slotExe)
	g.store(b64, fp, slotCall, r1)
	g.beginHash()
	g.follow(r3, r6, g.l.bprmName)
	g.mov(r1, r9)
	g.alui(opAdd, r1, scratchRecord+recordHead)
	g.movi(r2, maxName)
	g.call(fnReadStr)
	g.keepText(g.unique("noname"), g.unique("name"))
	g.mixText(leave)
	g.load(b8, r1, r9, scratchRecord+recordHead)
	g.jumpIfi(jEq, r1, '/', "rooted")
	g.cwd(leave)
	g.mixDentry(leave)
	g.unseen(leave)
	g.walk()
	g.tell()
	g.jump(leave)
	g.label("rooted")
	g.unseen(leave)
	g.tell()
}

// fork builds the program for sched_process_fork. The tracepoint's arguments are parent and child.
func (g *generator) fork() {
	g.load(b64, r6, r1, 8)
	g.watched()
	g.load(b32, r1, r0, taskState)
	g.jumpIfi(jEq, r1, taskArmed, leave)
	g.load(b32, r1, r0, taskExe)
	g.store(b32, fp, slotValue+taskExe, r1)
	g.storei(b32, fp, slotValue+taskState, taskOn)
	g.storei(b64, fp, slotValue+taskBefore, 0)
	g.storei(b64, fp, slotTmp, 0)
	g.read(slotTmp, 4, r6, g.l.pid)
	g.load(b32, r1, fp, slotTmp)
	g.store(b32, fp, slotTID, r1)
	g.keep()
	g.counter(alive)
	g.movi(r6, 1)
	g.add(r0, 0, r6, true)
	g.alui(opAdd, r6, 1)
	g.counter(mostAlive)
	g.load(b64, r1, r0, 0)
	g.jumpIf(jGe, r1, r6, leave)
	g.store(b64, r0, 0, r6) // if two processors store at once, one of the two values stays, which differ little
	g.end()
}

// gone builds the program for sched_process_exit. If the task's last call has ended the task, the program counts that
// call. The program also counts tasks that SIGKILL has ended, as happens to the remaining tasks at the end of a
// sandbox.
func (g *generator) gone() {
	g.load(b64, r6, r1, 0)
	g.watched()
	g.load(b32, r1, r0, taskExe)
	g.store(b32, fp, slotCall, r1)
	g.mov(r1, r6)
	g.call(fnTaskRegs)
	g.callNumber(r1, r0)
	for _, nr := range g.exits {
		g.jumpIfi(jEq, r1, int32(nr), "exits")
	}
	g.jump("forget")
	g.label("exits")
	g.storei(b64, fp, slotRet, 0)
	g.number(r1)
	for i := range 3 {
		g.storei(b64, fp, slotCall+8+8*i, 0)
	}
	g.countKey()
	g.label("forget")
	g.load(b32, r1, r7, g.l.pid)
	g.store(b32, fp, slotTID, r1)
	g.drop(leave)
	g.countUp(alive, -1)
	g.load(b32, r1, r7, g.l.exitCode) // in the form of wait(2)
	g.alui(opAnd, r1, 0x7f)
	g.jumpIfi(jNe, r1, 9, leave)
	g.countUp(killed, 1)
	g.end()
}

// capable builds the program for cap_capable. The tracepoint's arguments are the credentials, the namespace for which
// the capability was requested, the namespace in which it was found, the capability and the answer.
func (g *generator) capable() {
	g.mov(r6, r1)
	g.watched()
	g.load(b32, r1, r0, taskState)
	g.jumpIfi(jEq, r1, taskArmed, leave)
	g.jumpIfi(jEq, r1, taskFirst, leave)
	g.load(b32, r1, r0, taskExe)
	g.store(b32, fp, slotCall, r1)
	g.load(b64, r1, r6, 24)
	g.store(b32, fp, slotCall+4, r1)
	g.load(b64, r1, r6, 32)
	g.store(b32, fp, slotCall+8, r1)
	g.mov(r1, r6)
	g.mapFD(r2, g.m.stacks)
	g.movi(r3, 0)
	g.call(fnStackID)
	g.store(b32, fp, slotCall+12, r0)
	g.lookup(g.m.caps, slotCall)
	g.jumpIfi(jNe, r0, 0, "known")
	g.storei(b64, fp, slotOne, 0)
	g.update(g.m.caps, slotCall, slotOne, 1)
	g.lookup(g.m.caps, slotCall)
	g.jumpIfi(jNe, r0, 0, "known")
	g.countUp(lostCaps, 1)
	g.jump(leave)
	g.label("known")
	g.movi(r1, 1)
	g.add(r0, 0, r1, false)
	g.end()
}

// maxAddr is how many bytes of a socket address the programs read at most: sizeof(struct sockaddr_storage).
const maxAddr = 128

// address examines the socket address in the call, and the protocol of its socket.
func (g *generator) address() {
	g.storei(b64, fp, slotArg, 0)
	g.head(recordAddr)
	g.arguments()
	g.beginHash()
	g.load(b8, r1, r6, entryPaths+1)
	g.register(r8, r1)
	g.alui(opLsh, r8, 32)
	g.alui(opRsh, r8, 32)
	g.jumpIfi(jLt, r8, 2, leave)
	g.jumpIfi(jLe, r8, maxAddr, "short")
	g.movi(r8, maxAddr)
	g.label("short")
	g.load(b8, r1, r6, entryPaths)
	g.register(r3, r1)
	g.jumpIfi(jEq, r3, 0, leave)
	g.mov(r1, r9)
	g.alui(opAdd, r1, scratchRecord+recordHead)
	g.mov(r2, r8)
	g.call(fnReadUser)
	g.jumpIfi(jNe, r0, 0, leave) // then the call itself fails with EFAULT
	g.mov(r0, r8)
	g.keepText(g.unique("noaddr"), g.unique("addr"))
	g.mixText(leave)
	g.unseen(leave)
	g.load(b64, r8, r9, scratchRecord+recArgs)
	g.alui(opLsh, r8, 32)
	g.alui(opArs, r8, 32)
	g.jumpIfi(jSLt, r8, 0, "tell")
	g.fileOf(r8, "tell")
	g.load(b64, r1, fp, slotFile)
	g.follow(r1, r1, g.l.private)
	g.follow(r1, r1, g.l.sk)
	g.follow(r1, r1, g.l.skProt)
	g.mov(r3, r1)
	g.alui(opAdd, r3, int32(g.l.protName))
	g.mov(r1, r9)
	g.alui(opAdd, r1, scratchRecord+recordHead+maxAddr)
	g.movi(r2, 32)
	g.call(fnReadStr)
	g.jumpIfi(jSLt, r0, 0, "tell")
	g.jumpIfi(jSGt, r0, 32, "tell")
	g.store(b32, r9, scratchRecord+recWalk, r0)
	g.storei(b64, fp, slotOff, 32)
	g.label("tell")
	g.storei(b64, fp, slotLen, maxAddr) // the protocol's name comes after room for the longest address
	g.tell()
}
