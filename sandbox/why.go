package sandbox

import "cordon/sandbox/internal/why"

// Query answers questions about a profile on a host: what a command that is run there could do. Open, Exec, Connect,
// Capability, Signal, SetID and Limit each return a Reason.
type Query = why.Query

// Access is what a program wants of a path: Read, Write, Execute, Create. Create says that it makes a file where there is
// none.
type Access = why.Access

// Reason is the answer to a question. The layers are asked in the kernel's order, and the first that denies decides.
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

// Change is a field of the profile as a flag of the command sets it: Flag "rw", Value "/srv".
type Change = why.Change
