//go:build cgo && libseccomp

package reference

import (
	"testing"

	"cordon/policy/filter"

	libseccomp "github.com/seccomp/libseccomp-golang"
)

// otherNames lists calls that libseccomp and our tables have under different numbers on purpose.
var otherNames = map[string]string{}

// TestNumbers compares the tables: a name that both know must have the same number.
func TestNumbers(t *testing.T) {
	compared, unknown := 0, map[filter.Arch]int{}
	for arch, theirs := range arches {
		for _, name := range filter.Calls() {
			nr, ok := filter.Number(arch, name)
			other, err := libseccomp.GetSyscallFromNameByArch(name, theirs)
			if arch == filter.X32 && err == nil && other >= filter.X32Bit {
				other -= filter.X32Bit
			}
			switch {
			case ok && (err != nil || int32(other) < 0):
				unknown[arch]++
			case ok && uint32(other) != nr && otherNames[name] == "":
				t.Errorf("%s on %s: %d, libseccomp %d", name, arch, nr, other)
			case !ok && err == nil && int32(other) >= 0:
				t.Errorf("%s on %s: not in our table, libseccomp has %d", name, arch, other)
			default:
				compared++
			}
		}
	}
	t.Logf("%d compared; unknown to libseccomp: %v", compared, unknown)
}
