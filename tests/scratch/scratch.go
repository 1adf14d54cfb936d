// Package scratch makes the directories that tests need outside of the directory for temporary files. The guard of a
// test run finds them by their names, so that it can remove what a stopped run has left behind.
package scratch

import (
	"fmt"
	"os"
	"slices"
)

// Var is the environment variable with the number of the test run. It is not set if no guard watches.
const Var = "CORDON_TEST_RUN"

// Places returns the directories in which Dir makes directories, and in which a guard looks for them.
func Places() []string { return []string{"/tmp", "/var/tmp", "/var/lib", "/run"} }

// Prefix returns the beginning of the names that Dir uses in a run.
func Prefix(run string) string {
	if run == "" {
		return "cordon-"
	}
	return "cordon-" + run + "-"
}

// Dir makes a directory in a place, which must be one of Places, and returns its path. The caller must remove it.
func Dir(place, name string) (string, error) {
	if !slices.Contains(Places(), place) {
		return "", fmt.Errorf("%s is none of the places where a stopped test run is cleaned up after: %q",
			place, Places())
	}
	return os.MkdirTemp(place, Prefix(os.Getenv(Var))+name+"-")
}
