package sandbox

// What the task can write of the host's files is put on record: package ledger says why.

import (
	"errors"
	"os"

	"cordon/sandbox/ledger"
)

// recordWrites puts on record what the task can write. A sandbox that writes nothing of the host leaves no record; one
// that joins another is within the other's.
func (p *process) recordWrites() (err error) {
	if p.comp.into != nil {
		return nil
	}
	paths := p.comp.writes()
	if len(paths) == 0 {
		return nil
	}
	places := p.comp.host.Records
	if places == nil { // a Host that the caller made
		places = ledger.Places(os.Getenv)
	}
	var hidden []string
	if dirs := p.comp.host.StateDirs(); len(dirs) > 1 { // the usual one is out of reach in every run
		hidden = dirs[:1]
	}
	p.writes, err = ledger.Begin(places, paths, p.cmd.Profiles, hidden...)
	var known *ledger.Error
	if errors.As(err, &known) {
		return &Error{Op: known.Op, Err: known.Err, Hint: known.Hint}
	}
	return err
}
