package compile

// The limits that end a run: their place in the profile.

import (
	"strconv"
	"time"

	"cordon/policy"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/report"
)

// Endings say what of the profile sets a limit that ends a run.
var Endings = [...]struct{ Limit, key, flag string }{
	{report.LimitOOM, "limits.memory", "--memory"},
	{report.LimitTimeout, "limits.wall", "--timeout"},
	{report.LimitCPUTime, "limits.cpu-time", "--cpu-time"},
	{report.LimitOutput, "limits.output", "--output"},
	{report.LimitPIDs, "limits.pids", "--pids"},
	{report.LimitFileSize, "limits.rlimits.fsize", "--rlimit fsize=SIZE"},
}

// CPURlimit is the least RLIMIT_CPU that the plan sets.
func (c *Compilation) CPURlimit() (limit time.Duration, ok bool) {
	if r := c.Rlimit("cpu"); r != nil && r.Value < uint64(time.Duration(1<<62)/time.Second) {
		limit, ok = time.Duration(r.Value)*time.Second, true
	}
	if t := c.Profile.Limits.CPUTime; t.Set && (!ok || t.V < limit) {
		limit, ok = t.V, true
	}
	return limit, ok
}

// Rlimit is what the profile says of a resource; nil for nothing.
func (c *Compilation) Rlimit(name string) *policy.Rlimit {
	for i := range c.Profile.Limits.Rlimits {
		if r := &c.Profile.Limits.Rlimits[i]; r.Name == name && r.Value != policy.Unlimited {
			return r
		}
	}
	return nil
}

// LimitRule is the part of the profile that sets a limit, and the flag for it; "" where the profile does not: then it was
// inherited from the launcher, or from groups around its own.
func (c *Compilation) LimitRule(limit string) (rule, flag string) {
	l := &c.Profile.Limits
	for _, k := range Endings {
		if k.Limit != limit {
			continue
		}
		if value := limitValue(l, limit); value != "" {
			return fail.Said(k.key+" "+value, c.Where(k.key)), k.flag
		}
		flag = k.flag
	}
	switch limit {
	case report.LimitFileSize:
		if r := c.Rlimit("fsize"); r != nil {
			rule = fail.Said("limits.rlimits.fsize "+policy.FormatSize(int64(r.Value)), r.Pos.Short())
		}
	case report.LimitCPUTime:
		if r := c.Rlimit("cpu"); r != nil {
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
