// Package learn makes a profile of recordings of a program, and says what a profile would deny of them.
//
// [Facts] collects what recordings say, one event at a time. [Learn] makes a [Result] of them: a profile on top of another,
// each of its rules with the place of the recording that it comes from, and [Note]s on what was generalised and what that
// grants, on what was left out, and on what no layer can hold to yet. [Replay] plays Facts against any profile: each
// [Denial] is something that was seen and would not be allowed.
//
// What was seen is granted, and little more: calls with the others of their family, so that another version of libc finds
// the call that it prefers; files one by one, or the directory they are in where there are many; never what the list of
// secrets names. The package is pure: whether a file exists, only the recording says.
package learn
