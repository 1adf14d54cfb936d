// Package ledger remembers which directories of the host each sandbox could write, and when, so that what a task wrote
// does not decide on a later run.
//
// A task that may write a directory can rewrite a profile in it, and nothing inside that run can know which file decides
// the next one. So the launcher keeps a record of each run that can write the host's files, durable before the task is let
// go, and [Judge] compares the time of change of a profile with it. The kernel sets that time; the task cannot. A profile
// that changed while a sandbox could write it is refused until the user trusts its content; what a person edits between
// runs needs nothing.
//
//	place.go   where the records are kept: outside every sandbox, the same directory whatever the environment says
//	runs.go    the text of the records, and how they are merged; pure
//	record.go  a run begins and ends
//	walk.go    the way to a file, one component a step, by descriptor
//	judge.go   whether a file that lies on that way can be used
//	known.go   the text of the profiles that were used or trusted
package ledger
