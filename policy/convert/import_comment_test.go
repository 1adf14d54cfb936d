package convert

import (
	"runtime"
	"testing"

	"cordon/policy/filter"
)

// Keys that begin with _ are comments, wherever they stand; others that nobody knows are errors.
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
