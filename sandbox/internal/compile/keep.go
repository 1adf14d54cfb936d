package compile

// What is kept of a sandbox, so that another program can be started in it: the ruleset, and the filter without its listener.

import (
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/plan"
)

// keepRuleset hands Landlock's ruleset to the launcher, where it is to be kept.
func (c *Compilation) keepRuleset() {
	if !c.Req.Keep {
		return
	}
	c.do(c.scalar("landlock"),
		plan.Dup(plan.R(plan.Ruleset), plan.F(FileBeneath), unix.O_CLOEXEC),
		plan.SendNamedFile(plan.F(FileSync), MsgRules, FileBeneath))
}

// PlainFilter is the profile's filter without what is of one launch: reports, and a nonce.
func (c *Compilation) PlainFilter() ([]byte, error) {
	spec, err := c.Profile.FilterOnce(0)
	if err != nil {
		return nil, err
	}
	prog, err := filter.Compile(spec, c.Arch)
	if err != nil {
		return nil, err
	}
	return []byte(host.EncodeFilter(prog.Insns)), nil
}

// letExec makes a spec let the launcher's own execveat pass. A profile that allows execve alone cannot mean to forbid to be
// joined; what the program gets out of it is a call that passes with a number that it cannot know.
func (c *Compilation) letExec(spec filter.Spec) (filter.Spec, error) {
	for {
		prog, err := filter.Compile(spec, c.Arch)
		if err != nil {
			return spec, err
		}
		call := filter.Data{Nr: unix.SYS_EXECVEAT, Arch: c.Arch.Audit(), Args: [6]uint64{3, 0, 0, 0, unix.AT_EMPTY_PATH, c.Nonce}}
		if a := prog.Action(&call); a.Kind == filter.Allow || a.Kind == filter.Log {
			return spec, nil
		}
		if own := policy.OwnExec(c.Nonce); !slices.Contains(spec.Rules, own) {
			spec.Rules = append(slices.Clip(spec.Rules), own)
			continue
		}
		return spec, &fail.Error{Op: "exec", Err: errors.New("the profile denies execveat, by which a program is run in a sandbox that runs already"),
			Hint: "a profile that has no rule about execveat and does not deny it"}
	}
}
