package picture

import "strings"

// Writable names what the task may write to, for the report.
func (t *Tree) Writable() string {
	var list []string
	for i := range t.Parts {
		p := &t.Parts[i]
		if p.Write && p.What != "a device" && p.Guard == 0 && t.At(p.Target) == p {
			list = append(list, p.Target)
		}
	}
	if list == nil {
		return "nothing"
	}
	return strings.Join(list, " ")
}
