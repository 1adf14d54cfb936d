package state

// This file keeps two files of the state directory that are not entries, because no sandbox belongs to them: the last
// run that failed, for `why --last`, and what was told within a day.

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

// KeepLast stores data about the last run that failed, in place of the earlier data.
func (d *StateDir) KeepLast(data []byte) error { return d.replace(lastFile, ".last", data) }

// replace writes a file under another name first, so that nobody reads a part of it.
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

// These bound the file of what was told. What does not fit in is told again.
const (
	toldAgain = 24 * time.Hour
	maxTold   = 64
	toldSize  = 64 << 10
)

// Told reports whether Told was called with the text less than a day before now. If not, it records the text.
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

// Last returns the data of KeepLast, or fs.ErrNotExist if no run has failed since the machine started.
func (d *StateDir) Last() ([]byte, error) { return readRegular(d.root, lastFile) }
