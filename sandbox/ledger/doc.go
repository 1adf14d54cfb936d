// Package ledger records which directories of the host each sandbox could write, and when, so that what a task has
// written does not decide about a later run.
//
// A task that may write a directory can rewrite a profile in it, and a later run may use that profile. So the launcher
// records each run that can write files of the host. The record is on the disk before the task starts. [Judge] compares
// the change time of a profile with the records. Only the kernel sets this time; a task cannot set it. If a profile was
// changed while a sandbox could write it, it is refused until the user trusts its content. If a person has edited the
// profile between runs, it is not refused.
//
//	place.go   where the records are kept: outside every sandbox, and the same directory whatever the environment says
//	runs.go    the text of the records, and how they are merged; without I/O
//	record.go  the begin and the end of a run
//	walk.go    the way to a file, one component at a time, by descriptor
//	judge.go   whether a file at the end of that way can be used
//	known.go   the text of the profiles that were used or trusted
package ledger
