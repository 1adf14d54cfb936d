// Package picture holds the compiler's model of what a sandbox will see: which part of the host each path shows, and
// what covers it.
package picture
