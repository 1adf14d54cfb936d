// Package cause says why a host refuses what a sandbox needs, and how to remedy it.
package cause
