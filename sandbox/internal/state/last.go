package state

// This file keeps the last run that failed, in one file of the state directory, for `why --last`. The file is not an
// entry, because no sandbox belongs to it.

const lastFile = "last.json"

// KeepLast stores data about the last run that failed, in place of the earlier data.
func (d *StateDir) KeepLast(data []byte) error {
	const fresh = ".last"
	err := d.root.WriteFile(fresh, data, 0o600)
	if err == nil {
		err = d.root.Chmod(fresh, 0o600) // whatever the umask is
	}
	if err == nil {
		err = d.root.Rename(fresh, lastFile)
	}
	if err != nil {
		_ = d.root.Remove(fresh)
	}
	return err
}

// Last returns the data of KeepLast, or fs.ErrNotExist if no run has failed since the machine started.
func (d *StateDir) Last() ([]byte, error) { return readRegular(d.root, lastFile) }
