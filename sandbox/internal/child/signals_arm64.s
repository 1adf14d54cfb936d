#include "textflag.h"

// The handler: write(signalPipe, &number, 1). It may run on any thread at any time, and touches nothing of Go's.
TEXT ·onSignal(SB),NOSPLIT|NOFRAME,$0
	SUB $16, RSP
	MOVB R0, 0(RSP)
	MOVW ·signalPipe(SB), R0
	MOVD RSP, R1
	MOVD $1, R2
	MOVD $64, R8 // write
	SVC
	ADD $16, RSP
	RET // to the restorer

TEXT ·restoreSignal(SB),NOSPLIT|NOFRAME,$0
	MOVD $139, R8 // rt_sigreturn
	SVC
	BRK

// func handlers() (handler, restorer uintptr)
TEXT ·handlers(SB),NOSPLIT,$0-16
	MOVD $·onSignal(SB), R0
	MOVD R0, handler+0(FP)
	MOVD $·restoreSignal(SB), R0
	MOVD R0, restorer+8(FP)
	RET
