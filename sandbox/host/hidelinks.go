package host

import (
	"os"

	"cordon/sandbox/ledger"
)

// Left returns a function that reports whether a task may have made one of the links in a path. records say which
// places tasks could write.
func (OSFiles) Left(records []ledger.Place) func(path string) bool {
	if records == nil { // nil if the caller has made the Host itself
		records = ledger.Places(os.Getenv)
	}
	g := &ledger.Guard{Places: func() []ledger.Place { return records }}
	return g.Left
}
