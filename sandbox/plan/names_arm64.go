package plan

// asm/fcntl.h of arm and arm64 swaps these with O_DIRECT and O_LARGEFILE.
const (
	oDirectory = 0x4000
	oNofollow  = 0x8000
)
