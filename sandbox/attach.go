package sandbox

import "cordon/sandbox/internal/attach"

// Attached is a running sandbox in which another program can be started: see Cmd.Into. It holds descriptors of the
// sandbox's namespaces and root, which keep these alive until Close. Ended reports whether the sandbox has ended. Profile,
// Env and Workdir are those of the sandbox. Terminal picks from an environment what the profile keeps for a terminal.
type Attached = attach.Attached
