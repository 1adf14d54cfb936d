package record

// This file builds the parts of the programs that read answers of name servers, to find names for addresses. A
// tracepoint shows that a task has received data from a socket (sock_recv_length, Linux 6.3), so that other calls do
// not take longer. The answer is read at the end of the call, when it is in the program's memory.

import "golang.org/x/sys/unix"

// received builds the program for sock_recv_length. The tracepoint's arguments are the socket, the length and the
// flags.
func (g *generator) received() {
	g.mov(r6, r1)
	g.watched()
	g.mov(r9, r0)
	g.load(b32, r1, r9, taskState)
	g.jumpIfi(jNe, r1, taskOn, leave)
	g.load(b64, r7, r6, 0)
	g.storei(b64, fp, slotTmp, 0)
	g.read(slotTmp, 2, r7, g.l.skProtocol)
	g.load(b16, r1, fp, slotTmp)
	g.jumpIfi(jNe, r1, unix.IPPROTO_UDP, leave)
	g.read(slotTmp, 2, r7, g.l.skPort)
	g.load(b8, r1, fp, slotTmp) // in network byte order
	g.jumpIfi(jNe, r1, 0, leave)
	g.movi(r8, taskAnswered)
	g.load(b8, r1, fp, slotTmp+1)
	g.jumpIfi(jEq, r1, dnsPort, "server")
	g.jumpIfi(jNe, r1, 0, leave)
	g.movi(r8, taskReceived) // the socket is not connected, so the call returns the sender with the answer
	g.label("server")
	g.store(b32, r9, taskState, r8)
	g.end()
}

// receivers lists the calls of which the programs read the received data.
var receivers = [...]string{"recvfrom", "recvmsg", "read"}

// answer sends a record with the answer that the call has received. r1 is the executable, and is preserved. r2 is the
// task's state. r6, the program's context, is preserved. After answer, r7 is the task.
func (g *generator) answer() {
	g.store(b32, fp, slotExe, r1)
	g.store(b64, fp, slotKind, r2)
	g.scratch()
	g.load(b64, r8, r6, 0)
	g.callNumber(r1, r8)
	g.load(b64, r7, r8, g.l.regs[1])
	g.load(b64, r8, r8, g.l.regs[4])
	g.jumpIfi(jEq, r1, int32(g.receivers[0]), "buffer")
	g.jumpIfi(jEq, r1, int32(g.receivers[1]), "message")
	g.movi(r8, 0)
	g.jumpIfi(jNe, r1, int32(g.receivers[2]), "answered")
	g.jump("buffer")
	g.label("message") // struct msghdr: at 0 the address for the sender, at 16 the pointer to the first struct iovec
	g.readUser(slotValue, 24, r7, "answered")
	g.load(b64, r8, fp, slotValue)
	g.load(b64, r7, fp, slotValue+16)
	g.readUser(slotValue, 8, r7, "answered")
	g.load(b64, r7, fp, slotValue)
	g.label("buffer")
	g.load(b64, r1, fp, slotKind)
	g.jumpIfi(jEq, r1, taskAnswered, "server")
	g.jumpIfi(jEq, r8, 0, "answered")
	g.readUser(slotTmp, 4, r8, "answered") // struct sockaddr: the family, then the port in the network's order
	g.load(b8, r1, fp, slotTmp+2)
	g.jumpIfi(jNe, r1, 0, "answered")
	g.load(b8, r1, fp, slotTmp+3)
	g.jumpIfi(jNe, r1, dnsPort, "answered")
	g.label("server")
	for _, slot := range []int{slotNr, slotArg, slotRet} {
		g.storei(b64, fp, slot, 0)
	}
	g.head(recordName)
	g.load(b64, r2, r6, 8)
	g.jumpIfi(jSLt, r2, dnsHead, "answered")
	g.jumpIfi(jLe, r2, maxAnswer, "whole")
	g.movi(r2, maxAnswer)
	g.label("whole")
	g.store(b32, r9, scratchRecord+recLen, r2)
	g.store(b64, fp, slotLen, r2)
	g.mov(r3, r7)
	g.mov(r1, r9)
	g.alui(opAdd, r1, scratchRecord+recordHead)
	g.call(fnReadUser)
	g.jumpIfi(jNe, r0, 0, "answered")
	g.output()
	g.jumpIfi(jEq, r0, 0, "answered")
	g.countUp(lostRecords, 1)
	g.label("answered")
	g.storei(b64, fp, slotKind, 0)
	g.call(fnTaskBTF)
	g.mov(r7, r0)
	g.load(b32, r1, fp, slotExe)
}

// readUser copies n bytes of the caller's memory to the stack. If they cannot be read, it jumps to the label none.
func (g *generator) readUser(slot, n int, at reg, none string) {
	g.stack(r1, slot)
	g.movi(r2, int32(n))
	g.mov(r3, at)
	g.call(fnReadUser)
	g.jumpIfi(jNe, r0, 0, none)
}
