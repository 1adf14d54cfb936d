// Package attach holds what a launcher keeps of its sandbox so that others may enter it, and its form on the wire.
package attach
