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

// loadGuarded is load, and also returns the files from which the profile was read. If trust is true, it also uses files
// that a task may have written.
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

// overlay returns a profile that contains only the fields of the flags, or nil if there are none. The error lists all
// wrong flags.
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
