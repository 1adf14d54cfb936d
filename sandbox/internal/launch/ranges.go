package launch

// subuid(5), subgid(5): the subordinate ids of the caller.

import (
	"strconv"
	"strings"

	"cordon/policy"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/proc"
)

// maxRangeID is the last inside id that ranges fill: the ids of a usual root file system.
const maxRangeID = 65535

// withRanges adds the caller's subordinate ids: inside they are all numbers from 0 but the task's own, in order.
func (p *Process) withRanges(maps []string, file string, own int) ([]string, error) {
	text, err := proc.ReadAll(file)
	if err != nil {
		return nil, &fail.UnsupportedError{Layer: policy.LayerUser, Why: "user.ranges: " + err.Error(), From: p.Comp.Where("user.ranges"),
			Remedy: "install uidmap and give the user a range with usermod --add-subuids and --add-subgids"}
	}
	next := 0
	for _, r := range subordinate(string(text), p.Comp.Host.Name, p.Comp.Host.UID) {
		for r[1] > 0 && next <= maxRangeID {
			if next == own {
				next++
				continue
			}
			count := min(r[1], maxRangeID+1-next)
			if next < own {
				count = min(count, own-next)
			}
			maps = append(maps, compile.IDMap(next, r[0], count))
			next, r[0], r[1] = next+count, r[0]+count, r[1]-count
		}
	}
	if next == 0 {
		return nil, &fail.UnsupportedError{Layer: policy.LayerUser, Why: "user.ranges: " + file + " has no range for this user", From: p.Comp.Where("user.ranges"),
			Remedy: "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 NAME"}
	}
	return maps, nil
}

// subordinate are the {first, count} ranges of a user, by name or number.
func subordinate(text, name string, uid int) (ranges [][2]int) {
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) != 3 || f[0] == "" || f[0] != name && f[0] != strconv.Itoa(uid) {
			continue
		}
		first, err1 := strconv.Atoi(f[1])
		count, err2 := strconv.Atoi(f[2])
		if err1 == nil && err2 == nil && first > 0 && count > 0 {
			ranges = append(ranges, [2]int{first, count})
		}
	}
	return ranges
}
