package policy

import (
	"slices"
	"strings"
)

// odd refuses a word that readers of YAML take for different things.
func (d *decoder) odd(n *node, path string) {
	if n.text == "=" {
		d.fail(n, path, "= is no text to some readers of YAML", `write "="`)
		return
	}
	d.fail(n, path, n.text+" is a number, a date or a truth value to some readers of YAML",
		"write "+quote(n.text)+" if it is text; a number in plain decimal, true or false")
}

// wholly refuses a scalar without quotes that may be more or less than its writer thinks: a blank or a comma in a path
// belongs to what follows if a ':' or a bracket was forgotten, and behind it " #x" may belong to it.
func (d *decoder) wholly(n *node, t typ, path string) bool {
	long := n.folded && !slices.Contains(wordy[:], t)
	if n.kind != scalarNode || n.style != 0 || !long && !slices.Contains(opaque[:], t) {
		return true
	}
	switch {
	case long:
		d.fail(n, path, "a value of several lines", "a ':' or a quote may be missing; otherwise write "+quote(n.text))
	case strings.ContainsAny(n.text, " ,"):
		d.fail(n, path, "a blank or a comma in a value without quotes",
			"write "+quote(n.text)+" if it belongs to it; otherwise a ':', a bracket or a new line is missing")
	case n.glued:
		d.fail(n, path, "a comment directly behind the value",
			"write '# ' with a blank behind it, or quotes around what holds ' #'")
	default:
		return true
	}
	return false
}

// wordy are the types whose values may hold blanks.
var wordy = [...]typ{tText, tContent, tRule, tAction, tIOMax}

// opaque are the types of which almost any text is a value, so that a mistake is one, too.
var opaque = [...]typ{tPath, tSource, tUpper, tLink, tPattern, tExtends, tEnvPattern, tEnvName}
