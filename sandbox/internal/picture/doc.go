// Package picture holds the compiler's model of what a sandbox will see: which part of the host is shown at which path,
// and what covers it.
package picture
