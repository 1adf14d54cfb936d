package convert

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"cordon/policy"
	"cordon/policy/filter"
)

// FuzzImport checks that every file gives, in short time, either a usable profile or an error with a position.
func FuzzImport(f *testing.F) {
	f.Add(dockerDefault(f))
	for _, s := range []string{
		`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"kill","action":"SCMP_ACT_ERRNO","errnoRet":38,"args":[{"index":0,"value":1,"valueTwo":2,"op":"SCMP_CMP_MASKED_EQ"}]}]}`,
		`{"ociVersion":"1.0.2","linux":{"seccomp":{"defaultAction":"SCMP_ACT_KILL","architectures":["SCMP_ARCH_X86","SCMP_ARCH_X32"],"flags":["SECCOMP_FILTER_FLAG_LOG"],"listenerPath":"/x"}}}`,
		`{"defaultAction":"SCMP_ACT_ERRNO","defaultErrno":"ENOSYS","archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}],"syscalls":[{"names":["socketcall","setuid"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_BPF"],"arches":["amd64"],"minKernel":"4.8"},"excludes":{}}]}`,
		`{"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":["kill"],"action":"SCMP_ACT_KILL","args":[{"index":0,"value":18446744073709551615,"op":"SCMP_CMP_GT"},{"index":0,"value":0,"op":"SCMP_CMP_LT"}]}]}`,
		"\ufeff{\"\\u0061\\n\\ud83d\\ude00\": [1e5, -0.5, null, true, false]}", `[[[[`, `{"a":`, `"\ud800"`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		stop := time.AfterFunc(10*time.Second, func() { panic(fmt.Sprintf("hangs on %q", data)) })
		defer stop.Stop()
		for _, arch := range []filter.Arch{filter.AMD64, filter.ARM64} {
			res, err := Import("f.json", data, Target{Arch: arch, Kernel: Kernel{6, 1}, Caps: DockerCaps()}, ImportOptions{})
			if err != nil {
				var one *policy.Error
				var many policy.Errors
				var rules filter.Errors
				if !errors.As(err, &one) && !errors.As(err, &many) && !errors.As(err, &rules) || err.Error() == "" {
					t.Fatalf("%T %v", err, err)
				}
				continue
			}
			p, err := policy.Parse("out", res.Text)
			if err == nil {
				err = policy.Validate(p)
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, res.Text)
			}
			spec, err := p.Filter()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := filter.Compile(spec, arch); err != nil {
				t.Fatal(err)
			}
		}
	})
}
