package learn

import (
	"slices"
	"strconv"

	"cordon/policy"
	"cordon/policy/recording"
)

const mib = 1 << 20

// leastMemory is the smallest useful limit on memory. On a host without cgroups cordon uses RLIMIT_DATA instead,
// which also counts memory that a runtime such as Go's only reserves.
const leastMemory = 256 * mib

// limits sets limits from the highest use, with a margin. Memory: twice the use, rounded up to 16 MiB. Processes and
// descriptors: twice the use, but enough for a shell to work. Size of files: four times the largest file.
func (l *learner) limits() {
	s := &l.own.Limits
	peak := func(kind recording.Peak) *Peak {
		var most *Peak
		for i := range l.f.Peaks {
			p := &l.f.Peaks[i]
			// The peak of all programs together is a better measure than the peak of one program. But only memory and
			// processes have a sum over the sandbox.
			if p.Peak == kind && (most == nil || p.All && !most.All || p.All == most.All && p.Value > most.Value) {
				most = p
			}
		}
		return most
	}
	cgroup := false
	if p := peak(recording.PeakMemory); p != nil && p.All {
		s.Memory = policy.Opt[int64]{Set: true, V: int64(max(leastMemory, roundUp(double(p.Value), 16*mib)))}
		l.limit("memory", p, bytesText(p.Value))
		cgroup = true
	}
	if p := peak(recording.PeakPIDs); p != nil && p.All {
		s.PIDs = policy.Opt[int64]{Set: true, V: int64(max(16, double(p.Value)))}
		l.limit("pids", p, strconv.FormatUint(p.Value, 10))
		cgroup = true
	}
	if p := peak(recording.PeakFiles); p != nil && l.asksForFiles() {
		l.note(Note{Kind: Left, What: "a limit on open files",
			Why: "the program asked how many it may open, or set that: with fewer it does less, and does not say so", At: p.At})
	} else if p != nil {
		s.Rlimits = append(s.Rlimits, policy.Rlimit{Name: "nofile", Value: max(64, roundUp(double(p.Value), 16)), Pos: p.At})
		l.comment("limits.rlimits", "A process had at most "+strconv.FormatUint(p.Value, 10)+" files open.")
	}
	if p := peak(recording.PeakFile); p != nil {
		s.Rlimits = append([]policy.Rlimit{{Name: "fsize", Value: max(16*mib, roundUp(4*min(p.Value, 1<<60), 16*mib)), Pos: p.At}}, s.Rlimits...)
	}
	l.missing(cgroup)
}

// resourceFiles is RLIMIT_NOFILE of getrlimit(2). It is 5 only on mips, for which cordon makes no filters.
const resourceFiles = 7

// asksForFiles reports whether the program read or set its limit on open files. Programs such as redis and nginx
// serve fewer clients under a lower limit.
func (l *learner) asksForFiles() bool {
	return slices.ContainsFunc(l.f.Calls, func(c Call) bool {
		what, known := c.arg("resource")
		return known && what == resourceFiles
	})
}

// limit records the source of a limit, and a comment with the highest use.
func (l *learner) limit(name string, p *Peak, was string) {
	l.source("limits."+name, p.At)
	l.comment("limits."+name, "At most "+was+" "+"were used.")
}

// missing lets the profile start on a host that lacks a layer, as the shipped profiles do.
func (l *learner) missing(cgroup bool) {
	for _, x := range []struct {
		layer policy.Layer
		want  bool
	}{{policy.LayerCgroup, cgroup}, {policy.LayerLandlock, true}} {
		has := false
		for _, m := range l.parent.Missing {
			has = has || m.Layer == x.layer
		}
		if x.want && !has {
			l.comment("missing["+strconv.Itoa(len(l.own.Missing))+"]", "lint:ignore CL020 so that it starts on every host")
			l.own.Missing = append(l.own.Missing, policy.MissingLayer{Layer: x.layer})
		}
	}
	if len(l.own.Missing) > 0 {
		l.comment("missing", "", "The report says what is missing. Take these out to insist.")
	}
}

func double(v uint64) uint64 { return 2 * min(v, 1<<61) }

func roundUp(v, to uint64) uint64 { return (v + to - 1) / to * to }

func bytesText(v uint64) string {
	if v >= mib {
		return strconv.FormatUint((v+mib-1)/mib, 10) + " MiB"
	}
	return strconv.FormatUint(v, 10) + " bytes"
}
