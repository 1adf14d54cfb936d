//go:build cgo

package child

// withC reports that libc may be in this process. What libc maps, the child needs: a thread's own memory, for example.
const withC = true
