// Package diff compares what two effective profiles mean: which change gives a program more, and which takes
// something away.
package diff
