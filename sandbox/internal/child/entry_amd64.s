#include "textflag.h"

// The program's entry point, if the linker is told so: -E cordon/sandbox/internal/child.entry. The stack is as the kernel
// has left it (execve(2)), and stays so for the runtime, which begins afterwards. A Go function that assembly calls reads
// g from thread-local storage, which does not exist yet. So it gets a word of entryTLS; the runtime sets its own later.
TEXT ·entry(SB),NOSPLIT|NOFRAME,$0
	MOVL $158, AX // arch_prctl
	MOVL $0x1002, DI // ARCH_SET_FS
	LEAQ ·entryTLS+8(SB), SI
	SYSCALL
	CALL ·checkRoom(SB)
	JMP _rt0_amd64_linux(SB)
