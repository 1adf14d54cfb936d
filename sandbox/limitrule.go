package sandbox

// The limits that end a run: their place in the profile.

import (
	"strconv"
	"time"

	"cordon/policy"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/report"
)

// endings say what of the profile sets a limit that ends a run.
var endings = [...]struct{ limit, key, flag string }{
	{report.LimitOOM, "limits.memory", "--memory"},
	{report.LimitTimeout, "limits.wall", "--timeout"},
	{report.LimitCPUTime, "limits.cpu-time", "--cpu-time"},
	{report.LimitOutput, "limits.output", "--output"},
	{report.LimitPIDs, "limits.pids", "--pids"},
	{report.LimitFileSize, "limits.rlimits.fsize", "--rlimit fsize=SIZE"},
}

// cpuRlimit is the least RLIMIT_CPU that the plan sets.
func (c *compilation) cpuRlimit() (limit time.Duration, ok bool) {
	if r := c.rlimit("cpu"); r != nil && r.Value < uint64(time.Duration(1<<62)/time.Second) {
		limit, ok = time.Duration(r.Value)*time.Second, true
	}
	if t := c.profile.Limits.CPUTime; t.Set && (!ok || t.V < limit) {
		limit, ok = t.V, true
	}
	return limit, ok
}

// rlimit is what the profile says of a resource; nil for nothing.
func (c *compilation) rlimit(name string) *policy.Rlimit {
	for i := range c.profile.Limits.Rlimits {
		if r := &c.profile.Limits.Rlimits[i]; r.Name == name && r.Value != policy.Unlimited {
			return r
		}
	}
	return nil
}

// limitRule is the part of the profile that sets a limit, and the flag for it; "" where the profile does not: then it was
// inherited from the launcher, or from groups around its own.
func (c *compilation) limitRule(limit string) (rule, flag string) {
	l := &c.profile.Limits
	for _, k := range endings {
		if k.limit != limit {
			continue
		}
		if value := limitValue(l, limit); value != "" {
			return fail.Said(k.key+" "+value, c.where(k.key)), k.flag
		}
		flag = k.flag
	}
	switch limit {
	case report.LimitFileSize:
		if r := c.rlimit("fsize"); r != nil {
			rule = fail.Said("limits.rlimits.fsize "+policy.FormatSize(int64(r.Value)), r.Pos.Short())
		}
	case report.LimitCPUTime:
		if r := c.rlimit("cpu"); r != nil {
			rule, flag = fail.Said("limits.rlimits.cpu "+strconv.Itoa(int(r.Value))+"s", r.Pos.Short()), "--rlimit cpu=SECONDS"
		}
	}
	return rule, flag
}

// limitValue is a limit as the profile may write it; "" where it does not.
func limitValue(l *policy.Limits, limit string) string {
	switch {
	case limit == report.LimitOOM && l.Memory.Set:
		return policy.FormatSize(l.Memory.V)
	case limit == report.LimitTimeout && l.Wall.Set:
		return policy.FormatDuration(l.Wall.V)
	case limit == report.LimitCPUTime && l.CPUTime.Set:
		return policy.FormatDuration(l.CPUTime.V)
	case limit == report.LimitOutput && l.Output.Set:
		return policy.FormatSize(l.Output.V)
	case limit == report.LimitPIDs && l.PIDs.Set:
		return strconv.Itoa(int(l.PIDs.V))
	}
	return ""
}
