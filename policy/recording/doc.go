// Package recording holds what a recorder has seen a program do, and reads and writes the file of a recording.
//
// A recording is a [Header], the [Executable]s that ran, and [Event]s. Everything of one kind that the program did is
// one event, with a count. Events record neither the time nor the process, so the same run makes the same recording,
// however the scheduler ran it. [Recording] collects and merges events. [Recording.Write] writes them to a file in one
// canonical order. [Reader] reads the file back, one event at a time, and checks everything in it.
//
// docs/recording.md describes the file. The package is pure: it opens no file and makes no system call.
package recording
