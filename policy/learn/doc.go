// Package learn makes a profile from recordings of a program, and says what a profile would deny of them.
//
// [Facts] collects the content of recordings, one event at a time. [Learn] makes a [Result] from them: a profile on
// top of another profile. Each of its rules names the place in the recording that it comes from. [Note]s say what was
// generalised and what that allows in addition, what was left out, and what no layer can enforce yet. [Replay] plays
// Facts against any profile. Each [Denial] is something that the recording contains and the profile would deny.
//
// Learn allows what was recorded, and little more. It allows a call together with the other calls of its family, so
// that another version of libc finds the call that it prefers. It allows files one by one, or their directory if
// there are many. It never allows what the list of secrets names. The package is pure: it knows only from the
// recording whether a file exists.
package learn
