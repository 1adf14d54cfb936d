//go:build !arm64

package plan

// asm-generic/fcntl.h.
const (
	oDirectory = 0x10000
	oNofollow  = 0x20000
)
