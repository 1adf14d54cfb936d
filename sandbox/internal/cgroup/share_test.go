package cgroup

import (
	"testing"
	"time"
)

func TestShare(t *testing.T) {
	n := func(v uint64) *uint64 { return &v }
	usage := 201 * time.Millisecond
	for _, c := range []struct {
		user, system *uint64
		u, s         time.Duration // -1: not known
	}{
		{n(196e6), n(0), usage, 0},
		{n(100e6), n(100e6), usage / 2, usage - usage/2},
		{n(0), n(8e6), 0, usage},
		{n(0), n(0), 0, 0},
		{nil, n(3), -1, 3},
	} {
		got := [2]time.Duration{-1, -1}
		u, s := share(&usage, c.user, c.system)
		for i, d := range [...]*time.Duration{u, s} {
			if d != nil {
				got[i] = *d
			}
		}
		if got != [2]time.Duration{c.u, c.s} {
			t.Errorf("%v, not %v and %v", got, c.u, c.s)
		}
	}
}
