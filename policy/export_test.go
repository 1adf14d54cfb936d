package policy

// This file exports the table of keys for tests in other packages.

// MountKey is a key of a mount.
type MountKey struct {
	Name string
	At   func(*Mount) any // returns a pointer to the key's field
}

// MountKeys yields the keys of every kind of mount.
func MountKeys(yield func(MountKind, []MountKey) bool) {
	for i := range mountForms {
		f := &mountForms[i]
		keys := make([]MountKey, len(f.keys))
		for j := range f.keys {
			keys[j] = MountKey{f.keys[j].name, f.keys[j].at}
		}
		if !yield(MountKind(f.kind), keys) {
			return
		}
	}
}
