package state

// This file keeps two files of the state directory that belong to no sandbox, and so are no entries. One holds the last
// run that failed, for `why --last`. The other holds the texts that cordon has told the user within a day.

import (
	"encoding/json"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	lastFile = "last.json"
	toldFile = "told.json"
)

// KeepLast stores data about the last run that failed. It replaces the data about the run that failed before.
func (d *StateDir) KeepLast(data []byte) error { return d.replace(lastFile, ".last", data) }

// replace writes a file under another name and then renames it, so that nobody reads half a file.
func (d *StateDir) replace(name, fresh string, data []byte) error {
	err := d.root.WriteFile(fresh, data, 0o600)
	if err == nil {
		err = d.root.Chmod(fresh, 0o600) // whatever the umask is
	}
	if err == nil {
		err = d.root.Rename(fresh, name)
	}
	if err != nil {
		_ = d.root.Remove(fresh)
	}
	return err
}

// These constants bound the file of texts that were told. A text that does not fit in is told again.
const (
	toldAgain = 24 * time.Hour
	maxTold   = 64
	toldSize  = 64 << 10
)

// Told reports whether it was called with the same text less than a day before now. If it was not, it records the text.
func (d *StateDir) Told(text string, now time.Time) bool {
	told := map[string]time.Time{}
	if f, err := d.root.OpenFile(toldFile, os.O_RDONLY|unix.O_NONBLOCK, 0); err == nil {
		_ = json.NewDecoder(io.LimitReader(f, toldSize)).Decode(&told) // a damaged file counts as an empty one
		f.Close()
	}
	fresh := map[string]time.Time{}
	for t, at := range told {
		if age := now.Sub(at); age >= 0 && age < toldAgain && len(fresh) < maxTold-1 {
			fresh[t] = at
		}
	}
	if _, ok := fresh[text]; ok {
		return true
	}
	fresh[text] = now
	if data, err := json.Marshal(fresh); err == nil {
		_ = d.replace(toldFile, ".told", data) // otherwise the next run tells it again
	}
	return false
}

// Last returns the data that KeepLast has stored, or fs.ErrNotExist if no run has failed since the machine started.
func (d *StateDir) Last() ([]byte, error) { return readRegular(d.root, lastFile) }
