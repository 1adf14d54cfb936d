//go:build !arm64

package plan

// The values are from asm-generic/fcntl.h.
const (
	oDirectory = 0x10000
	oNofollow  = 0x20000
)
