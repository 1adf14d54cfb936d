package launch

import (
	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/report"
)

// clipped returns what the report says of the rlimits of the profile that are above the launcher's own hard limits. Only CAP_SYS_RESOURCE in the
// first user namespace raises those; otherwise the lower limit holds in the task.
func clipped(task int, limits []policy.Rlimit) (missing []report.Missing) {
	for _, r := range limits {
		n, _ := compile.RlimitNumber(r.Name)
		var own, its unix.Rlimit
		if unix.Getrlimit(int(n), &own) != nil || r.Value <= own.Max {
			continue
		}
		if err := unix.Prlimit(task, int(n), nil, &its); err != nil {
			its = own
		}
		if its.Max < r.Value {
			holds := policy.Rlimit{Name: r.Name, Value: its.Cur}
			missing = append(missing, report.Missing{Layer: policy.LayerRlimits, Why: "limits.rlimits." + r.Name + " " + r.Text() +
				" is above the hard limit that the launcher was started with", Instead: holds.Text()})
		}
	}
	return missing
}
