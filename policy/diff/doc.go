// Package diff compares what two effective profiles mean: which changes give a program more, and which take something
// away.
package diff
