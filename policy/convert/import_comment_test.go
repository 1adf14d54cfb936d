package convert

import (
	"runtime"
	"slices"
	"strings"
	"testing"

	"cordon/policy/filter"
)

// TestImportComments checks that keys that begin with _ are comments, wherever they are, and that other unknown keys
// are errors.
func TestImportComments(t *testing.T) {
	arch, _ := filter.ParseArch(runtime.GOARCH)
	target := Target{Arch: arch, Kernel: Kernel{6, 1}}
	for text, ok := range map[string]bool{
		`{"_comment": "x", "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"_comment": ["y"], "names": ["read"], "action": "SCMP_ACT_ALLOW"}]}`: true,
		`{"remark": "x", "defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}`:                                                                     false,
	} {
		if _, err := Import("p.json", []byte(text), target, ImportOptions{}); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestImportNewer checks the note about calls that are newer than all calls in a file. The note must appear if runc
// would return another result for them.
func TestImportNewer(t *testing.T) {
	const entries = `, "syscalls": [{"names": ["read", "openat2"], "action": "SCMP_ACT_ALLOW"}]}`
	for deflt, want := range map[string]bool{
		`"defaultAction": "SCMP_ACT_ERRNO"`: true, `"defaultAction": "SCMP_ACT_KILL"`: true,
		`"defaultAction": "SCMP_ACT_ALLOW"`: false, `"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38`: false,
	} {
		target := Target{Arch: filter.AMD64, Kernel: Kernel{6, 1}}
		res, err := Import("p.json", []byte("{"+deflt+entries), target, ImportOptions{})
		if err != nil {
			t.Fatal(err)
		}
		said := slices.ContainsFunc(res.Notes, func(n Note) bool {
			return n.Rule == newerThan+"openat2" && n.Class == Approximated && strings.Contains(n.How, "ENOSYS")
		})
		if said != want {
			t.Errorf("%s: %v", deflt, res.Notes)
		}
	}
}
