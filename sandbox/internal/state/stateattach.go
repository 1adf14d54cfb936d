package state

import "cordon/sandbox/internal/attach"

// Attach asks a sandbox's launcher for the descriptors that cordon needs to start another program in the sandbox: see
// Cmd.Into. The caller must close the result.
func (e *Entry) Attach() (*attach.Attached, error) {
	if err := e.running(); err != nil {
		return nil, err
	}
	fds, err := e.Call("attach", nil, nil)
	if err != nil {
		return nil, err
	}
	return attach.Receive(fds)
}
