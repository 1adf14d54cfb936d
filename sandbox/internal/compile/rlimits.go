package compile

// getrlimit(2). A hard limit that is already lower stays: it is stricter than what was asked for, and the report says so.

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/plan"
	"cordon/sandbox/report"
)

var rlimitNumbers = [...]struct {
	name string
	n    uint64
}{
	{"as", unix.RLIMIT_AS}, {"core", unix.RLIMIT_CORE}, {"cpu", unix.RLIMIT_CPU}, {"data", unix.RLIMIT_DATA}, {"fsize", unix.RLIMIT_FSIZE},
	{"locks", unix.RLIMIT_LOCKS}, {"memlock", unix.RLIMIT_MEMLOCK}, {"msgqueue", unix.RLIMIT_MSGQUEUE}, {"nice", unix.RLIMIT_NICE},
	{"nofile", unix.RLIMIT_NOFILE}, {"nproc", unix.RLIMIT_NPROC}, {"rss", unix.RLIMIT_RSS}, {"rtprio", unix.RLIMIT_RTPRIO},
	{"rttime", unix.RLIMIT_RTTIME}, {"sigpending", unix.RLIMIT_SIGPENDING}, {"stack", unix.RLIMIT_STACK},
}

// defaultNofile is the soft limit that the task gets unless the profile says otherwise: the kernel's own initial one
// (INR_OPEN_CUR). The launcher's, which it inherits, was raised by the Go runtime.
const defaultNofile = 1024

func (c *Compilation) rlimits() error {
	c.standIns()
	nofile := false
	for i := range c.Profile.Limits.Rlimits {
		r := &c.Profile.Limits.Rlimits[i]
		n, ok := RlimitNumber(r.Name)
		if !ok {
			return &fail.Error{Op: "limits.rlimits", Err: errors.New("unknown resource " + r.Name), From: r.Pos.Short()}
		}
		nofile = nofile || r.Name == "nofile"
		value := r.Value
		if r.Name == "core" && value == 0 {
			value = noCore
			c.checkCore()
		}
		c.setRlimit(at("limits.rlimits."+r.Name, -1, r.Pos), n, value)
	}
	if !nofile {
		c.do(own("rlimits"), plan.SetRlimit(unix.RLIMIT_NOFILE, min(defaultNofile, c.Host.NofileMax), c.Host.NofileMax))
	}
	return nil
}

// noCore is the limit of core dumps for none at all. 0 stops files alone: where core_pattern names a program, the kernel starts
// it on the host, as root, whatever the limit is, but for 1 (core(5); fs/coredump.c). No file is as small as that either.
const noCore = 1

// checkCore reports as missing that the caller's own hard limit is 0, which nobody without CAP_SYS_RESOURCE raises to 1.
func (c *Compilation) checkCore() {
	if !c.Host.CoreZero {
		return
	}
	if text, err := c.Host.Files.Read("/proc/sys/kernel/core_pattern", 1); err == nil && string(text) == "|" {
		c.Missing = append(c.Missing, report.Missing{Layer: policy.LayerRlimits, Why: "core: 0: the caller's hard limit is 0, which the program in core_pattern does not heed, and cannot be raised to 1, which it does"})
	}
}

func (c *Compilation) setRlimit(from plan.From, resource, value uint64) {
	c.do(from, plan.SetRlimit(resource, value, value).OrElse(plan.EPERM))
}

func RlimitNumber(name string) (uint64, bool) {
	for _, r := range rlimitNumbers {
		if r.name == name {
			return r.n, true
		}
	}
	return 0, false
}

// CheckSupport refuses what no layer does yet, and finds stand-ins for what the profile allows to be missing.
func (c *Compilation) CheckSupport() error {
	p := c.Profile
	for _, x := range [...]struct {
		path, why, remedy string
		layer             policy.Layer
		set               bool
	}{
		{"network", "an allow-list is not supported yet", "use network: none or host", policy.LayerNet, p.Network.Mode == policy.NetworkAllow},
	} {
		if x.set {
			return &fail.UnsupportedError{Layer: x.layer, Why: x.path + ": " + x.why, From: c.Where(x.path), Remedy: x.remedy}
		}
	}
	return nil
}

// lacking records a layer that is missing where the profile allows that, and is an error where it does not.
func (c *Compilation) lacking(layer policy.Layer, why, instead, where, remedy string) error {
	missing, err := c.Without(layer, why, instead, where, remedy)
	c.Missing = append(c.Missing, missing...)
	return err
}

// Without returns what the report says of a layer that is missing, if the profile allows that.
func (c *Compilation) Without(layer policy.Layer, why, instead, where, remedy string) ([]report.Missing, error) {
	for _, m := range c.Profile.Missing {
		if m.Layer == layer {
			return []report.Missing{{Layer: layer, Why: why, Instead: instead}}, nil
		}
	}
	return nil, &fail.UnsupportedError{Layer: layer, Why: why, From: where, Remedy: remedy}
}

// standIns are the rlimits in the place of cgroup limits.
func (c *Compilation) standIns() {
	l := &c.Profile.Limits
	if l.Memory.Set && c.groups.lacks["memory"] {
		c.setRlimit(c.scalar("limits.memory"), unix.RLIMIT_DATA, uint64(l.Memory.V))
	}
	if l.PIDs.Set && c.groups.lacks["pids"] {
		c.setRlimit(c.scalar("limits.pids"), unix.RLIMIT_NPROC, uint64(l.PIDs.V))
	}
	if l.CPUTime.Set && c.groups.lacks["cpu-time"] {
		seconds := uint64((l.CPUTime.V + time.Second - 1) / time.Second)
		// SIGXCPU at the limit, by which it is known; SIGKILL a second later.
		c.do(c.scalar("limits.cpu-time"), plan.SetRlimit(unix.RLIMIT_CPU, seconds, seconds+1).OrElse(plan.EPERM))
	}
}
