package launch

// What the task can write of the host's files is put on record: package ledger says why.

import (
	"errors"
	"os"

	"cordon/sandbox/internal/fail"
	"cordon/sandbox/ledger"
)

// recordWrites puts on record what the task can write. A sandbox that writes nothing of the host leaves no record; one
// that joins another is within the other's.
func (p *Process) recordWrites() (err error) {
	if p.Comp.Into != nil {
		return nil
	}
	paths := p.Comp.Writes()
	if len(paths) == 0 {
		return nil
	}
	places := p.Comp.Host.Records
	if places == nil { // a Host that the caller made
		places = ledger.Places(os.Getenv)
	}
	var hidden []string
	if dirs := p.Comp.Host.StateDirs(); len(dirs) > 1 { // the usual one is out of reach in every run
		hidden = dirs[:1]
	}
	p.writes, err = ledger.Begin(places, paths, p.Cmd.Profiles, hidden...)
	var known *ledger.Error
	if errors.As(err, &known) {
		return &fail.Error{Op: known.Op, Err: known.Err, Hint: known.Hint}
	}
	return err
}
