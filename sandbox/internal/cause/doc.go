// Package cause tells why a host refuses what a sandbox needs, and what remedies it.
package cause
