package sandbox

import "cordon/sandbox/internal/why"

// Query answers questions about a profile on a host: what may a command do that runs there? Open, Exec, Connect,
// Capability, Signal, SetID and Limit each answer one kind of question with a Reason.
type Query = why.Query

// Access says how a program wants to use a path: Read, Write, Execute, Create. Create means that the program makes
// the file if it does not exist.
type Access = why.Access

// Reason is the answer to a question. The layers answer in the kernel's order, and the first that denies decides.
//
//	Allowed  bool
//	Layer    string      the layer that denies, or "file" for what the host itself would deny
//	Errno    string      what the program would get: "EROFS"; "" if no error
//	Why      string      in words
//	Rule     policy.Pos  the line of the profile that decides; the zero Pos for a default
//	RuledOut []string    the layers that allow it, each in words
//	Notes    []string    what else is worth knowing
//	Try      []Change    what would get past this layer
//	Grants   string      what Try allows besides
//	NoFlag   string      why there is no Try
type Reason = why.Reason

// Change is a change of a profile, as a flag of the command makes it: Flag "rw", Value "/srv".
type Change = why.Change
