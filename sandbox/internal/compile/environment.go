package compile

import "strings"

// Environment picks what the profile keeps, in the caller's order, and then sets what it sets.
func (c *Compilation) Environment() []string {
	env := variables(c.Req.Env)
	out := make([]string, 0, len(env))
	for _, v := range env {
		if name, _ := variable(v); c.Profile.Env.Keeps(name) {
			out = append(out, v)
		}
	}
	for _, v := range c.Profile.Env.Set {
		out = append(out, v.Name+"="+v.Value)
	}
	return out
}

// variable is the name of an entry NAME=VALUE, as env.keep says it. Callers inherit others from programs that made them by
// mistake.
func variable(entry string) (name string, ok bool) {
	name, _, ok = strings.Cut(entry, "=")
	return name, ok && name != ""
}

// variables drops what is no variable, and a variable that another of the same name follows, as os/exec does: programs do
// not agree on which of the two counts, so that a check of one would say nothing about the other.
func variables(env []string) []string {
	last := make(map[string]int, len(env))
	for i, v := range env {
		if name, ok := variable(v); ok {
			last[name] = i
		}
	}
	if len(last) == len(env) {
		return env
	}
	out := make([]string, 0, len(last))
	for i, v := range env {
		if name, ok := variable(v); ok && last[name] == i {
			out = append(out, v)
		}
	}
	return out
}
