package compile

// A run that is watched and not confined by seccomp: for a recorder. seccomp_unotify(2): the answer "go on" leaves the
// call to the kernel, which reads the task's memory once more. Whoever can write that memory, another thread of the
// task, can change what is behind a pointer between the look and the call. So what an Observer sees is evidence and
// never a decision, and such a run reports no seccomp layer.

import (
	"cordon/policy"
	"cordon/policy/filter"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/proc"
)

// watched reports whether the task gets an observer's filter.
func (c *Compilation) watched() bool { return c.Req.Watch != nil }

// Observed reports whether somebody watches in the profile's place.
func (c *Compilation) Observed() bool { return c.Req.Observed }

// AsItIs reports whether the task gets the host's tree with all that the caller may do in it. No profile can say that: it
// is for a program that is watched.
func (c *Compilation) AsItIs() bool {
	return c.Observed() && c.Profile.Root.Kind == policy.RootHost && c.Profile.Root.Write
}

// watch installs the observer's filter. The launcher's own call is an execveat with a number in it that nobody knows:
// every other execve can then be notified of.
func (c *Compilation) watch() error {
	spec := c.Req.Watch
	if spec == nil {
		return nil
	}
	watching := *spec
	watching.Rules = append(watching.Rules[:len(watching.Rules):len(watching.Rules)],
		filter.Rule{Call: "execveat", Expr: "nonce == 0x" + proc.Hex16(c.Nonce), Else: filter.Action{Kind: filter.Notify}})
	prog, err := filter.Compile(watching, c.Arch)
	if err != nil {
		return err
	}
	c.listenWith(own("observer"), own("observer"), prog)
	return nil
}

// planObserver makes room for the listener of an observer's filter, without which nothing would be seen.
func (c *Compilation) planObserver() error {
	if !c.watched() {
		return nil
	}
	if why := c.noListener(); why != "" {
		return &fail.UnsupportedError{Layer: policy.LayerDenials, Why: why, Remedy: "cordon doctor says what this host lacks"}
	}
	c.reserveListener(own("observer"))
	return nil
}
