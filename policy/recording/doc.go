// Package recording is what a recorder saw a program do, and the file that it is kept in.
//
// A recording is a [Header], the [Executable]s that ran, and [Event]s: each kind of thing that was done once, with how often.
// There is no order in time and no process: the same run makes the same recording, wherever the scheduler went. [Recording]
// collects and merges them, [Recording.Write] puts them into a file in one canonical order, and [Reader] reads it back, an
// event at a time and without trust.
//
// docs/recording.md describes the file. The package is pure: it opens no file and makes no system call.
package recording
