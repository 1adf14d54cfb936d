// Package ledger records which directories of the host each sandbox could write, and when, so that a task cannot decide
// about a later run by what it writes.
//
// A task that may write a directory can rewrite a profile in it, and nothing inside that run knows which file decides
// the next one. So the launcher records each run that can write the host's files. The record is on the disk before the
// task starts. [Judge] compares the change time of a profile with the records. The kernel sets this time; the task
// cannot. A profile that changed while a sandbox could write it is refused until the user trusts its content. A profile
// that a person edits between runs needs nothing.
//
//	place.go   where the records are kept: outside every sandbox, in the same directory whatever the environment says
//	runs.go    the text of the records, and how they are merged; pure
//	record.go  the begin and the end of a run
//	walk.go    the way to a file, one component at a time, by descriptor
//	judge.go   whether a file at the end of that way can be used
//	known.go   the text of the profiles that were used or trusted
package ledger
