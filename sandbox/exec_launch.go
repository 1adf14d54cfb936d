package sandbox

// The launcher's part where a program joins a sandbox that runs already: see exec.go.

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/child"
	"cordon/sandbox/internal/proc"
)

// openAttached duplicates what is entered, and watches the sandbox.
func (p *process) openAttached() (err error) {
	if p.comp.into == nil {
		return nil
	}
	for name, fd := range p.comp.into.descriptors() {
		if err := p.files.dup(name, fd); err != nil {
			return err
		}
	}
	if p.sandbox, err = unix.FcntlInt(uintptr(p.comp.into.descriptors()[fileInit]), unix.F_DUPFD_CLOEXEC, 3); err != nil {
		return &Error{Op: "duplicate the pidfd of init", Err: err}
	}
	p.Watch(p.sandbox, unix.POLLIN, func(int16) {
		p.Unwatch(p.sandbox)
		p.kill() // where the sandbox has a pid namespace the kernel does that, too
	})
	return nil
}

// joined is called when the program runs. A limit on time is the sandbox's, and does not begin anew; what this launcher
// passes on of its output, nobody else counts.
//
// init's end waits for every process in its pid namespace to be reaped, and what this launcher has put there is its own
// child: stopped, as by Ctrl-Z, it would hold up the sandbox's end. So the kernel reaps it.
func (p *process) joined() {
	p.watchOutput()
	if p.cmd.Exclusive {
		child.ReapNothing()
	}
}

// sandboxEnds reports whether the sandbox is gone, or about to be: its init ends behind its processes.
func (p *process) sandboxEnds() bool {
	if p.sandbox < 0 {
		return false
	}
	return endsWithin(100*time.Millisecond, p.sandbox)
}

// sandboxGone is the error of a launch into a sandbox that has ended; nil where it has not. Where the child was lost
// it may be just ending: its init ends behind that child.
func (p *process) sandboxGone(err error) error {
	if p.cmd.Into == nil {
		return nil
	}
	var patience time.Duration
	switch {
	case err == errEnded:
		patience = time.Second // on a busy machine
	case p.fault() != nil:
		patience = 100 * time.Millisecond
	}
	if endsWithin(patience, p.cmd.Into.descriptors()[fileInit]) {
		return errSandboxEnded
	}
	return nil
}

// entered waits until the child has entered the sandbox, looks whether it is there, and lets it go on.
func (p *process) entered() error {
	if p.comp.into == nil {
		return nil
	}
	m, err := p.word()
	if err != nil {
		return err
	}
	if m != msgEntered {
		return p.ended()
	}
	if err := p.checkEntered("/proc/" + strconv.Itoa(p.pid)); err != nil {
		return err
	}
	return p.send(nil)
}

// checkEntered holds what the child has entered against what the sandbox's task has.
func (p *process) checkEntered(dir string) error {
	a := p.comp.into
	for i := range host.Kinds {
		k := &host.Kinds[i]
		s := a.space(k.Name)
		if s == nil {
			continue
		}
		its, err := proc.Readlink(dir + "/ns/" + k.Children)
		if err != nil {
			return &Error{Op: "read back the namespaces", Err: err}
		}
		if _, id, _ := strings.Cut(s.ID, ":"); !strings.HasSuffix(its, ":"+id) {
			return &Error{Op: "read back the namespaces", Err: errors.New(k.Name + " is " + its + ", and the sandbox's is " + s.ID)}
		}
		if !s.Host {
			p.enforced(k.Layer, s.ID, "/proc/PID/ns/"+k.Children)
		}
	}
	if err := a.checkRoot(dir + "/root"); err != nil {
		return err
	}
	p.enforced(policy.LayerMount, "the sandbox's root", "/proc/PID/root")
	text, err := proc.ReadAll(dir + "/status")
	if err != nil {
		return &Error{Op: "read back the ids", Err: err}
	}
	if err := a.checkAround(text, dir); err != nil {
		return err
	}
	for line := range strings.Lines(a.Cgroups) {
		p.enforced(policy.LayerCgroup, "the sandbox's: "+strings.TrimSpace(line), "/proc/PID/cgroup")
	}
	return nil
}

// checkConfined looks at the waiting task before its filter is in place, which then is the last thing that it lacks.
func (p *process) checkConfined() error {
	c := p.comp
	if c.into == nil && c.ids.newUser {
		return nil
	}
	if c.into == nil {
		return p.checkIDs()
	}
	if p.cmd.Hold != nil {
		p.cmd.Hold()
	}
	text, err := proc.ReadAll("/proc/" + strconv.Itoa(p.task) + "/status")
	if err != nil {
		return &Error{Op: "read back the task's status", Err: err}
	}
	for _, x := range [...]struct{ key, want string }{
		{"Uid", c.into.UIDs}, {"Gid", c.into.GIDs},
		{"CapBnd", proc.Hex16(c.keep)}, {"CapPrm", proc.Hex16(c.keep)}, {"CapEff", proc.Hex16(c.keep)},
		{"CapInh", proc.Hex16(c.ambient)}, {"CapAmb", proc.Hex16(c.ambient)}, {"NoNewPrivs", "1"},
	} {
		if got := proc.StatusField(text, x.key); got != x.want {
			return &Error{Op: "read back the task's status", Err: errors.New(x.key + " is " + got + ", not " + x.want)}
		}
	}
	p.around = proc.Number(proc.StatusField(text, "Seccomp_filters"))
	return nil
}

// checkFilters makes sure that the program runs under one filter more than its launcher: Linux 5.9 counts them.
func (p *process) checkFilters(status []byte) error {
	got := proc.StatusField(status, "Seccomp_filters")
	if p.comp.into == nil || got == "absent" {
		return nil
	}
	if proc.Number(got) < p.around+1 {
		return &Error{Op: "read back the task's status", Err: errors.New("Seccomp_filters is " + got + ", not " + strconv.Itoa(p.around+1))}
	}
	p.enforced(policy.LayerSeccomp, "Seccomp_filters="+got, "/proc/PID/status")
	return nil
}
