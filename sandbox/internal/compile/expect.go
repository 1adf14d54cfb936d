package compile

// What the launcher has to find when it reads back.

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/proc"
)

// AmidExec reports whether a status is of a task that still has the capabilities which execve is about to take.
func (c *Compilation) AmidExec(status []byte) bool {
	return c.Keep != c.HeldCaps() && proc.StatusField(status, "CapPrm") == proc.Hex16(c.Keep)
}

// HeldCaps are the permitted capabilities behind execve, by the rules of capabilities(7): root inside keeps what the
// bounding set allows, anybody else the ambient ones.
func (c *Compilation) HeldCaps() uint64 {
	if c.IDs.InUID == 0 {
		return c.Keep
	}
	return c.Ambient
}

func (c *Compilation) CheckIDs(status []byte) error {
	groups := strings.Fields(proc.StatusField(status, "Groups"))
	if c.rootForbidden() && slices.Contains(groups, "0") || c.IDs.Own && len(groups) > 0 {
		return &fail.Error{Op: "read back the ids", Err: errors.New("the task would have root's groups on the host: " + strings.Join(groups, " ")), Hint: CallerHint}
	}
	for _, x := range [...]struct {
		key  string
		want int
	}{{"Uid", c.IDs.OutUID}, {"Gid", c.IDs.OutGID}} {
		for _, id := range strings.Fields(proc.StatusField(status, x.key)) {
			switch {
			case id == "0" && c.rootForbidden():
				return &fail.Error{Op: "read back the ids", Err: errors.New("the task would be root on the host: " + x.key + " is 0"), Hint: CallerHint}
			case x.want >= 0 && id != strconv.Itoa(x.want):
				return &fail.Error{Op: "read back the ids", Err: errors.New(x.key + " is " + id + ", not " + strconv.Itoa(x.want))}
			}
		}
	}
	return nil
}
