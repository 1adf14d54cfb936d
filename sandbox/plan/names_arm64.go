package plan

// In asm/fcntl.h of arm and arm64, these two have swapped values with O_DIRECT and O_LARGEFILE.
const (
	oDirectory = 0x4000
	oNofollow  = 0x8000
)
