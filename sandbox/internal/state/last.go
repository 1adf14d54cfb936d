package state

// The last run that failed: one file in the state directory, for who asks why. It is not an entry: nothing lives there.

const lastFile = "last.json"

// KeepLast puts data in the place of what was kept of the last run that failed.
func (d *StateDir) KeepLast(data []byte) error {
	const fresh = ".last"
	err := d.root.WriteFile(fresh, data, 0o600)
	if err == nil {
		err = d.root.Rename(fresh, lastFile)
	}
	if err != nil {
		_ = d.root.Remove(fresh)
	}
	return err
}

// Last is what was kept; fs.ErrNotExist where no run has failed since the machine started.
func (d *StateDir) Last() ([]byte, error) { return d.root.ReadFile(lastFile) }
