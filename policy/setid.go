package policy

import (
	"slices"

	"cordon/policy/filter"
)

// SetIDPlace is where the rules about set-id bits come from, in the place of a line of a profile.
const SetIDPlace = "set-id bits"

// SetIDRemedy says how a task may make such files all the same.
const SetIDRemedy = "no flag: files with set-id bits are made where nobody else can reach them, " +
	"in a root file system (--root DIR) below a directory of yours with mode 0700"

// SetIDCapability stands for the permission to make files with set-user-ID and set-group-ID bits. A profile that does not
// keep the capability has the rules about set-id bits.
const SetIDCapability = "FSETID"

// setIDRules keep a task from making a file that gives somebody else's rights to whoever runs it: outside, where the
// sandbox's mounts, which ignore the bits, are not in the way. mkdir needs no rule, because the kernel drops the bits.
// The number is __O_TMPFILE, the part of O_TMPFILE that O_DIRECTORY is not.
var setIDRules = [...]filter.Rule{
	{Call: "chmod", Expr: noSetID, From: SetIDPlace},
	{Call: "fchmod", Expr: noSetID, From: SetIDPlace},
	{Call: "fchmodat", Expr: noSetID, From: SetIDPlace},
	{Call: "fchmodat2", Expr: noSetID, From: SetIDPlace},
	{Call: "creat", Expr: noSetID, From: SetIDPlace},
	{Call: "mknod", Expr: noSetID, From: SetIDPlace},
	{Call: "mknodat", Expr: noSetID, From: SetIDPlace},
	{Call: "open", Expr: noNewSetID, From: SetIDPlace},
	{Call: "openat", Expr: noNewSetID, From: SetIDPlace},
	// Its mode is behind a pointer; programs go on with openat.
	{Call: "openat2", Expr: "errno(ENOSYS)", From: SetIDPlace},
}

const (
	noSetID    = "mode & 06000 == 0"
	noNewSetID = "flags & (O_CREAT | 0x400000) == 0 || mode & 06000 == 0"
)

// MaySetID reports whether the profile lets the task make files with set-id bits.
func (p *Profile) MaySetID() bool {
	return slices.ContainsFunc(p.Capabilities.Keep, func(c Capability) bool { return c.Name == SetIDCapability })
}

// Filter is the profile's system calls as package filter takes them: the section, and the rules about set-id bits.
func (p *Profile) Filter() (filter.Spec, error) {
	spec, err := p.Syscalls.Filter()
	if err == nil && !p.MaySetID() {
		spec.Narrow(setIDRules[:])
	}
	return spec, err
}
