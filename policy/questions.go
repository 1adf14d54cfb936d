package policy

// This file contains functions about a profile that several packages need.

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

// CacheMode returns where the task's caches are kept, and whether the task has any. If the profile only lists tools,
// the caches are the project's own.
func (p *Profile) CacheMode() (mode CacheMode, on bool) {
	mode = p.Cache.Mode
	if mode == CacheOff && p.Cache.Tools.Set && !p.has("cache", "mode") {
		mode = CacheProject
	}
	return mode, mode != CacheOff
}

// CacheTools returns the tools that have caches, in the order of the language's words.
func (p *Profile) CacheTools() []string {
	if !p.Cache.Tools.Set {
		return CacheWords
	}
	return p.Cache.Tools.V
}
