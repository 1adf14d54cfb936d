//go:build !cgo

package child

// withC reports that libc may be in this process.
const withC = false
