package sandbox

import "cordon/sandbox/internal/attach"

// Attached is a running sandbox in which another program can be started: see Cmd.Into. It holds descriptors of the
// sandbox's namespaces and root, which keep the namespaces and the root alive until Close is called. The fields
// Profile, Env and Workdir describe the sandbox. Ended reports whether the sandbox has ended. Terminal selects, from an
// environment, the variables that the profile keeps for a terminal.
type Attached = attach.Attached
