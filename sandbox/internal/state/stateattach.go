package state

import "cordon/sandbox/internal/attach"

// Attach asks a sandbox's launcher for what it takes to start another program in it: see Cmd.Into. It is to be closed.
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
