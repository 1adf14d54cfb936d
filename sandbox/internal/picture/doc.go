// Package picture is the compiler's picture of what a sandbox will see: what of the host stands where, and what covers
// it.
package picture
