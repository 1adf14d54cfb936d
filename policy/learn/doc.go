// Package learn makes a profile from recordings of a program, and says which recorded events a profile would deny.
//
// [Facts] collects the content of recordings, one event at a time. [Learn] makes a [Result] from Facts: a profile on
// top of another profile. Each rule of the profile names the place in the recording that it comes from. A [Note] says
// what was generalised and what that allows in addition, what was left out, or what no layer can enforce yet. [Replay]
// checks Facts against any profile. Each [Denial] is something that the recording contains and the profile would deny.
//
// Learn allows what was recorded, and little more. It allows a call together with the other calls of its family, so
// that another version of libc finds the call that it prefers. It allows files one by one, or their directory if there
// are many. It never allows a file in the list of secrets. The package is pure (it reads nothing from this machine): it
// knows only from the recording whether a file exists.
package learn
