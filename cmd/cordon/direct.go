package main

// This file parses the usual arguments of `cordon run` without building the tree of commands and flags, because
// building the tree takes longer than parsing. Most launches only name a profile, flags for fields of the profile, and
// a command. Function direct leaves all other arguments to the tree: other flags, other spellings, and every mistake.

import (
	"strings"

	"cordon/policy"
)

// flagProfile is the name of the flag that names a profile; shortProfile is its letter.
const flagProfile, shortProfile = "profile", "p"

// direct parses the arguments of a run whose only flags are -p and the flags for fields of the profile. It returns the
// command to run. If ok is false, the tree must parse the arguments.
func (f *runFlags) direct(args []string) (command []string, ok bool) {
	if len(args) == 0 || args[0] != "run" {
		return nil, false
	}
	for args = args[1:]; len(args) > 0; {
		arg := args[0]
		if len(arg) < 2 || arg[0] != '-' {
			return args, true
		}
		args = args[1:]
		if arg == "--" {
			return args, len(args) > 0
		}
		name, value, joined := strings.Cut(arg, "=")
		flag, known := directFlag(name)
		switch {
		case !known, joined && arg[1] != '-': // pflag reads -p=NAME
			return nil, false
		case joined:
		case flag.Arg == "":
			value = "true"
		case len(args) == 0:
			return nil, false
		default:
			value, args = args[0], args[1:]
		}
		if flag.Name == flagProfile {
			f.profiles = append(f.profiles, value)
		} else {
			f.fields = append(f.fields, fieldValue{flag.Name, value})
		}
	}
	return nil, false
}

// directFlag returns the flag of the profile that a word names: --NAME, or - and the flag's letter.
func directFlag(word string) (policy.Flag, bool) {
	name, long := strings.CutPrefix(word, "--")
	letter := word[1:]
	if name == flagProfile && long || letter == shortProfile {
		return policy.Flag{Name: flagProfile, Arg: "NAME"}, true
	}
	for d := range policy.AllFlags {
		if long && d.Name == name || !long && d.Short != "" && d.Short == letter {
			return d, true
		}
	}
	return policy.Flag{}, false
}
