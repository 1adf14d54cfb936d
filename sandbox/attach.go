package sandbox

import "cordon/sandbox/internal/attach"

// Attached is a running sandbox that another program can be started in: see Cmd.Into. It holds descriptors of the
// sandbox's namespaces and root, which keep these alive until Close.
type Attached = attach.Attached
