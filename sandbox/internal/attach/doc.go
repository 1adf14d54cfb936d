// Package attach holds what a launcher keeps of its sandbox so that other programs can join the sandbox, and encodes it
// for another process.
package attach
