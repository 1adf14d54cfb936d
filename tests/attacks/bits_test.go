package attacks

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// Row 1, 2 and 7 on a host that refuses openat2(2), where paths are opened name by name; row 41: bits that work on the host.

func bitsAttacks() []attack {
	return []attack{
		{1, "a mount target through a planted link, no openat2", "openat", withoutOpenat2(plantedTarget), nil, noControl("the row with openat2 has it")},
		{1, "a bind source that became a link, no openat2", "openat", withoutOpenat2(plantedSource), hostRoot, noControl("the row with openat2 has it")},
		{1, "a link on the way to it, no openat2", "openat", withoutOpenat2(plantedParent), hostRoot, noControl("the row with openat2 has it")},
		{2, "a source swapped during the launch, no openat2", "openat", withoutOpenat2(swappedSource), hostRoot, noControl("the row with openat2 has it")},
		{7, "a root with links and fakes, no openat2", "openat", withoutOpenat2(fakeTrees), []string{"container"}, noControl("the row with openat2 has it")},
	}
}

// withoutOpenat2 tries an attack on a launcher whose host refuses openat2, as in a container or in a sandbox.
func withoutOpenat2(run func(*box) outcome) func(*box) outcome {
	return func(b *box) outcome {
		return run(b.wrapped(probeBin, "pre", "refuse="+strconv.Itoa(unix.SYS_OPENAT2), "--"))
	}
}
