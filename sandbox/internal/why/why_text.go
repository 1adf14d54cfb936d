package why

// This file holds texts that several reasons use.

import (
	"io/fs"
	"strconv"
	"strings"

	"cordon/policy"
	"cordon/sandbox/host"
)

// withoutRule names the place at which the user would have to remove a rule.
func withoutRule(at policy.Pos) string {
	switch {
	case at.Flag != "":
		return "Leave out " + at.Flag + "."
	case strings.HasPrefix(at.File, "embedded:"):
		return "Write a profile that does not extend " + strings.TrimSuffix(strings.TrimPrefix(at.File, "embedded:"), ".yaml") +
			", or that lifts the rule: hide: [{remove: …}]."
	case at.File == "":
		return "It is built in."
	}
	return "It can be taken out at " + at.Short() + "."
}

// grants describes what a bind would allow besides access to the file in question.
func grants(path string, dir, write bool) string {
	s := "reading of "
	if write {
		s = "reading and writing of "
	}
	if dir {
		return s + "everything below " + path
	}
	return s + path + " and nothing else"
}

func ownerText(info fs.FileInfo) string {
	st, ok := host.StatOf(info)
	if !ok {
		return ""
	}
	return ", owner " + strconv.Itoa(int(st.Uid)) + ":" + strconv.Itoa(int(st.Gid))
}

func fromText(from []string) string {
	if len(from) == 0 {
		return ""
	}
	return " (" + strings.Join(from, ", ") + ")"
}
