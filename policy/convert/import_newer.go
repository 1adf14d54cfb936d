package convert

import (
	"strconv"

	"cordon/policy/filter"
)

// newerThan begins what the note is about.
const newerThan = "calls newer than "

// newer says what becomes of calls that are newer than the newest that the file names. runc, which goes by their numbers,
// answers ENOSYS, after which libc takes an older call; here they get the default, as the file says it. A default that
// lets calls pass, or says ENOSYS, is the same in both.
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
