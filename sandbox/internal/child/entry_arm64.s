#include "textflag.h"

// The program's entry point, if the linker is told so: -E cordon/sandbox/internal/child.entry. The stack is as the kernel
// has left it (execve(2)), and stays so for the runtime, which begins afterwards.
TEXT ·entry(SB),NOSPLIT|NOFRAME,$0
	CALL ·checkRoom(SB)
	B _rt0_arm64_linux(SB)
