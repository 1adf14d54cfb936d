//go:build cgo

package child

// withC reports that libc may be in this process. The child needs what libc maps: a thread's own memory, for example.
const withC = true
