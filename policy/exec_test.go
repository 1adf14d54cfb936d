package policy

import (
	"testing"

	"cordon/policy/filter"
)

// TestExecOnce checks that the filter for `exec: once` allows only the launcher's own call. It must deny execve,
// execveat with a different nonce or with half of the nonce, and the call on every other ABI of the profile.
func TestExecOnce(t *testing.T) {
	const nonce = 0xfedcba9876543210
	p := Profile{Syscalls: Syscalls{Exec: ExecOnce, Arches: []string{"native", "i386", "x32"}, Allow: []SyscallItem{{Name: "@process"}, {Name: "execve"}, {Name: "execveat"}}}}
	for _, deflt := range []string{"", "allow", "kill", "errno(ENOSYS)"} {
		p.Syscalls.Default = deflt
		once, err := p.FilterOnce(nonce)
		if err != nil {
			t.Fatal(err)
		}
		prog, err := filter.Compile(once, filter.AMD64)
		if err != nil {
			t.Fatal(err)
		}
		tests := []struct {
			call  string
			arch  filter.Arch
			nonce uint64
			want  bool
		}{
			{"execveat", filter.AMD64, nonce, true},
			{"execveat", filter.AMD64, 0, false},
			{"execveat", filter.AMD64, nonce + 1, false},
			{"execveat", filter.AMD64, nonce & 0xffffffff, false},
			{"execveat", filter.AMD64, nonce &^ 0xffffffff, false},
			{"execveat", filter.AMD64, 0x76543210fedcba98, false},
			{"execve", filter.AMD64, nonce, false},
			{"execve", filter.X32, nonce, false},
			{"execveat", filter.X32, 0, false},
			{"execve", filter.I386, nonce, false},
			{"execveat", filter.I386, nonce & 0xffffffff, false},
			{"execveat", filter.I386, 0, false},
			{"fork", filter.AMD64, 0, true},
		}
		for _, tt := range tests {
			nr, ok := filter.Number(tt.arch, tt.call)
			if !ok {
				t.Fatal(tt.call)
			}
			d := filter.Data{Nr: int32(nr), Arch: tt.arch.Audit(), Args: [6]uint64{5: tt.nonce}}
			if tt.arch == filter.X32 {
				d.Nr |= filter.X32Bit
			}
			if got := prog.Action(&d); (got.Kind == filter.Allow) != tt.want {
				t.Errorf("default %q: %s on %s with %#x: %v", deflt, tt.call, tt.arch, tt.nonce, got)
			}
		}
	}
}
