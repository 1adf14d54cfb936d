package sandbox

import "cordon/sandbox/internal/why"

// Reason is the answer to a question about what a program may do. The first layer that denies decides; the kernel asks
// them in the same order.
type Reason = why.Reason

// Change is a field of the profile as a flag sets it: "rw", "/srv".
type Change = why.Change

// Query is a question about a profile on a host: what a command that is run there could do.
type Query = why.Query

// Access is what a program wants of a path. Create says that a file is made where none is there.
type Access = why.Access
