package policy

// What the tests of the packages below see of the table.

// MountKey is a key of a mount.
type MountKey struct {
	Name string
	At   func(*Mount) any // a pointer to its field
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
