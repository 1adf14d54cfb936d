package main

import (
	"errors"

	"cordon/policy"
	"cordon/profiles"
	"cordon/sandbox/ledger"
)

// load returns the effective profile of the given names and files, with the fields that the flags set.
func load(names []string, fields []fieldValue) (*policy.Profile, error) {
	p, _, err := loadGuarded(names, fields, false)
	return p, err
}

// loadGuarded does the same as load, and also returns the files from which it read the profile. If trust is true, it
// accepts files that a task may have written.
func loadGuarded(names []string, fields []fieldValue, trust bool) (*policy.Profile, []ledger.Text, error) {
	if len(names) == 0 {
		names = []string{profiles.DefaultName}
	}
	names, err := splitProfiles(names)
	if err != nil {
		return nil, nil, err
	}
	over, err := overlay(fields)
	if err != nil {
		return nil, nil, err
	}
	g := newGuard(trust)
	defer g.Close()
	p, err := guardedSearch(g).Load(names, over)
	return p, g.Texts, err
}

// overlay returns a profile that contains only the fields that the flags set, or nil if they set none. The error lists
// all wrong flags.
func overlay(fields []fieldValue) (*policy.Profile, error) {
	if len(fields) == 0 {
		return nil, nil
	}
	var over policy.Profile
	var all policy.Errors
	for _, f := range fields {
		var one *policy.Error
		if err := policy.FromFlag(&over, f.name, rising(f.name, f.value)); errors.As(err, &one) {
			all = append(all, one)
		} else if err != nil {
			return nil, err
		}
	}
	if len(all) > 0 {
		return nil, all
	}
	return &over, nil
}
