//go:build cgo

package child

// withC reports that libc may be in this process. The child then needs the memory that libc has mapped, for example a
// thread's own memory.
const withC = true
