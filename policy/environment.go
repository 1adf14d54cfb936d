package policy

import "strings"

// Keeps reports whether the task gets the caller's variable of this name: the profile keeps the name, and sets no value
// for it.
func (e *Env) Keeps(name string) bool {
	for i := range e.Set {
		if e.Set[i].Name == name {
			return false
		}
	}
	for i := range e.Keep {
		pattern := e.Keep[i].Pattern
		if prefix, ok := strings.CutSuffix(pattern, "*"); ok && strings.HasPrefix(name, prefix) || pattern == name {
			return true
		}
	}
	return false
}
