// Package launch starts a sandbox by a plan, reads back what the kernel set up, and supervises it to the end.
package launch
