package convert

import (
	"strconv"

	"cordon/policy/filter"
)

// newerThan begins the subject of the note.
const newerThan = "calls newer than "

// newer adds a note about calls that are newer than the newest call in the file. runc compares their numbers and
// returns ENOSYS, so that libc uses an older call. In cordon these calls get the file's default. If the default allows
// calls or is ENOSYS, no note is needed, because runc and cordon then decide alike.
func (im *importer) newer() {
	enosys := im.unknown()
	if im.deflt.Passes() || im.deflt.Action == enosys {
		return
	}
	newest, name := uint32(0), ""
	for _, c := range im.order {
		if nr, ok := filter.Number(im.target.Arch, c.name); ok && nr >= newest {
			newest, name = nr, c.name
		}
	}
	if name == "" {
		return
	}
	n := 0
	for _, call := range filter.Members("@known") {
		if nr, ok := filter.Number(im.target.Arch, call); ok && nr > newest && im.calls[call] == nil {
			n++
		}
	}
	if n > 0 {
		how := strconv.Itoa(n) + " calls get " + im.deflt.String() + "; runc answers ENOSYS. " +
			"Where a program needs that, add a rule: - CALL: errno(ENOSYS)"
		im.note("syscalls", nil, newerThan+name, Approximated, Same, how)
	}
}
