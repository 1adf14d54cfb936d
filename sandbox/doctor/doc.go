// Package doctor says what this machine can do for a sandbox, and how to remedy what it cannot do.
package doctor
