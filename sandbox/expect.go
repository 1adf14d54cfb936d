package sandbox

// What the launcher has to find when it reads back.

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"cordon/sandbox/internal/proc"
)

// writable names what the task may write to, for the report.
func (t *tree) writable() string {
	var list []string
	for i := range t.parts {
		p := &t.parts[i]
		if p.write && p.what != "a device" && p.guard == 0 && t.at(p.target) == p {
			list = append(list, p.target)
		}
	}
	if list == nil {
		return "nothing"
	}
	return strings.Join(list, " ")
}

// amidExec reports whether a status is of a task that still has the capabilities which execve is about to take.
func (c *compilation) amidExec(status []byte) bool {
	return c.keep != c.heldCaps() && proc.StatusField(status, "CapPrm") == proc.Hex16(c.keep)
}

// heldCaps are the permitted capabilities behind execve, by the rules of capabilities(7): root inside keeps what the
// bounding set allows, anybody else the ambient ones.
func (c *compilation) heldCaps() uint64 {
	if c.ids.inUID == 0 {
		return c.keep
	}
	return c.ambient
}

func (c *compilation) checkIDs(status []byte) error {
	groups := strings.Fields(proc.StatusField(status, "Groups"))
	if c.rootForbidden() && slices.Contains(groups, "0") || c.ids.own && len(groups) > 0 {
		return &Error{Op: "read back the ids", Err: errors.New("the task would have root's groups on the host: " + strings.Join(groups, " ")), Hint: callerHint}
	}
	for _, x := range [...]struct {
		key  string
		want int
	}{{"Uid", c.ids.outUID}, {"Gid", c.ids.outGID}} {
		for _, id := range strings.Fields(proc.StatusField(status, x.key)) {
			switch {
			case id == "0" && c.rootForbidden():
				return &Error{Op: "read back the ids", Err: errors.New("the task would be root on the host: " + x.key + " is 0"), Hint: callerHint}
			case x.want >= 0 && id != strconv.Itoa(x.want):
				return &Error{Op: "read back the ids", Err: errors.New(x.key + " is " + id + ", not " + strconv.Itoa(x.want))}
			}
		}
	}
	return nil
}
