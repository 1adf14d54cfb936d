package main

import (
	"errors"
	"os"

	"cordon/policy"
	"cordon/profiles"
)

// load is the effective profile of the names and files given, with the flags over it.
func load(names []string, fields []fieldValue) (*policy.Profile, error) {
	if len(names) == 0 {
		names = []string{profiles.DefaultName}
	}
	over, err := overlay(fields)
	if err != nil {
		return nil, err
	}
	return profiles.DefaultSearch(os.Getenv).Load(names, over)
}

// overlay is a profile of flags; nil if there are none. All that are wrong are in the error.
func overlay(fields []fieldValue) (*policy.Profile, error) {
	if len(fields) == 0 {
		return nil, nil
	}
	var over policy.Profile
	var all policy.Errors
	for _, f := range fields {
		var one *policy.Error
		if err := policy.FromFlag(&over, f.name, f.value); errors.As(err, &one) {
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
