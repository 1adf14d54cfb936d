package why

import (
	"runtime"
	"strings"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/sandbox/internal/fail"
)

// Filter returns the profile's filter as it applies once the program runs. With `syscalls.exec: once` the filter then
// denies every execve.
func (q *Query) Filter() filter.Spec { return q.spec }

// Denied explains why the filter denies a call with the given arguments.
func (q *Query) Denied(d *filter.Data, a filter.Action) *Reason {
	r := &Reason{Layer: string(policy.LayerSeccomp), Errno: strings.TrimSuffix(strings.TrimPrefix(a.String(), "errno("), ")")}
	call := filter.Decode(d, nil)
	if call.Call == "" {
		r.Why, r.Rule = "a number that no table has", q.comp.Profile.Source("syscalls.unknown")
		r.NoFlag = "--syscall-unknown decides all such numbers"
		return r
	}
	if !q.listed(call.Arch) {
		r.Why, r.NoFlag = "calls of "+call.Arch.String()+" are not allowed at all", "--arch "+call.Arch.String()+" allows what the rules allow of them"
		return r
	}
	b := decider(q.comp, call.Call, d, true)
	r.Why, r.Rule, r.NoFlag, r.Grants = b.rule, b.at, b.noFlag, b.opens
	for _, f := range b.flags {
		r.Try = append(r.Try, Change{f.Name, f.Value})
	}
	if b.at == (policy.Pos{}) && b.from != "" {
		r.Why = fail.Said(b.rule, b.from)
	}
	return r
}

// listed reports whether the filter has rules for an ABI. Otherwise it kills all calls of that ABI.
func (q *Query) listed(abi filter.Arch) bool {
	if abi.String() == runtime.GOARCH {
		return true
	}
	for _, a := range q.spec.Foreign {
		if a == abi {
			return true
		}
	}
	return false
}
