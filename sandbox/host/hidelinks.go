package host

import (
	"os"

	"cordon/sandbox/ledger"
)

// Left returns a function that reports whether a task may have made a link on the way to a path.
func (OSFiles) Left(records []ledger.Place) func(path string) bool {
	if records == nil { // the caller made the Host, without records
		records = ledger.Places(os.Getenv)
	}
	g := &ledger.Guard{Places: func() []ledger.Place { return records }}
	return g.Left
}
