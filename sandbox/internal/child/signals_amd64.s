#include "textflag.h"

// The handler: write(signalPipe, &number, 1). It may run on any thread at any time, and touches nothing of Go's.
TEXT ·onSignal(SB),NOSPLIT|NOFRAME,$0
	SUBQ $24, SP
	MOVB DI, 0(SP)
	MOVL ·signalPipe(SB), DI
	MOVQ SP, SI
	MOVL $1, DX
	MOVL $1, AX // write
	SYSCALL
	ADDQ $24, SP
	RET // to the restorer

TEXT ·restoreSignal(SB),NOSPLIT|NOFRAME,$0
	MOVL $15, AX // rt_sigreturn
	SYSCALL
	INT $3

// func handlers() (handler, restorer uintptr)
TEXT ·handlers(SB),NOSPLIT,$0-16
	LEAQ ·onSignal(SB), AX
	MOVQ AX, handler+0(FP)
	LEAQ ·restoreSignal(SB), AX
	MOVQ AX, restorer+8(FP)
	RET
