package launch

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"cordon/policy"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/internal/sandboxtest"
)

// mountsTree returns the tree that the tables below should show: a read-only root, a writable /tmp, a read-only file, a
// device.
func mountsTree() *picture.Tree {
	t := &picture.Tree{Files: sandboxtest.FakeTree()}
	t.Add(picture.Part{Target: "/", Source: "/", Rule: policy.Pos{File: "p.yaml", Line: 1}})
	t.Add(picture.Part{Target: "/tmp", Write: true, Rule: policy.Pos{File: "p.yaml", Line: 2}})
	t.Add(picture.Part{Target: "/tmp/a b", Source: "/etc/passwd", File: true, Rule: policy.Pos{File: "p.yaml", Line: 3}})
	return t
}

// table returns a mountinfo, made of lines "id parent point options".
func table(lines ...string) string {
	var b strings.Builder
	for _, l := range lines {
		f := strings.Fields(l)
		fmt.Fprintf(&b, "%s %s 0:%s / %s %s - tmpfs none rw\n", f[0], f[1], f[0], f[2], f[3])
	}
	return b.String()
}

// checkText compares a table with a tree.
func checkText(tree *picture.Tree, text []byte) (map[string]string, []string, error) {
	table, err := proc.ParseMounts(text)
	if err != nil {
		return nil, nil, &fail.Error{Op: "read back the mounts", Err: err}
	}
	return checkMounts(tree, table)
}

func TestCheckMounts(t *testing.T) {
	root, tmp, file := "10 1 / ro,nosuid,nodev", "11 10 /tmp rw,nosuid,nodev", `12 11 /tmp/a\040b ro,nosuid,nodev`
	tests := []struct {
		name    string
		table   string
		reached int
		want    string // the error; "" for none
	}{
		{"as asked", table(root, tmp, file), 3, ""},
		{"in any order", table(file, tmp, root), 3, ""},
		{"a submount, read-only", table(root, tmp, file, "13 10 /sys ro,nosuid"), 4, ""},
		{"a submount, writable", table(root, tmp, file, "13 10 /sys rw,nosuid"), 0, "read back the mounts: /sys is writable, although the profile says read-only (p.yaml:1)"},
		{"a writable mount below a writable one", table(root, tmp, file, "13 11 /tmp/x rw,nosuid"), 4, ""},
		{"the file is writable", table(root, tmp, `12 11 /tmp/a\040b rw,nosuid`), 0, "read back the mounts: /tmp/a b is writable, although the profile says read-only (p.yaml:3)"},
		{"the root is writable", table("10 1 / rw,nosuid", tmp, file), 0, "read back the mounts: / is writable, although the profile says read-only (p.yaml:1)"},
		{"set-user-ID", table(root, "11 10 /tmp rw,nodev", file), 0, "read back the mounts: /tmp honours set-user-ID (p.yaml:2)"},
		{"missing", table(root, tmp), 0, "read back the mounts: /tmp/a b is not mounted (p.yaml:3)"},
		{"the root is missing", table("11 10 /tmp rw,nosuid", file), 0, "read back the mounts: / is not mounted (p.yaml:1)"},
		{"covered and writable", table(root, tmp, file, "13 10 /sys rw", "14 13 /sys ro,nosuid"), 4, ""},
		{"what covers is writable", table(root, tmp, file, "13 10 /sys ro,nosuid", "14 13 /sys rw,nosuid"), 0, "read back the mounts: /sys is writable, although the profile says read-only (p.yaml:1)"},
		{"below what is covered", table(root, tmp, file, "13 10 /home rw", "15 13 /home/ann rw", "14 13 /home ro,nosuid"), 4, ""},
		{"beside what covers", table(root, tmp, file, "13 10 /home/ann rw", "14 10 /home ro,nosuid"), 4, ""},
		{"the root is covered", table("9 1 / rw", "10 9 / ro,nosuid", "16 9 /tmp rw", tmp, file), 3, ""},
		{"rw as a part of a word", table(root, tmp, file, "13 10 /sys ro,nosuid,wrw,rwx"), 4, ""},
		{"nosuid as a part of a word", table(root, tmp, file, "13 10 /sys ro,nosuidx"), 0, "read back the mounts: /sys honours set-user-ID (p.yaml:1)"},
		{"a relative mount point", table(root, tmp, file, "13 10 sys rw"), 0, `read back the mounts: unexpected line "13 10 0:13 / sys rw - tmpfs none rw\n"`},
		{"nonsense", "12 nonsense\n", 0, `read back the mounts: unexpected line "12 nonsense\n"`},
		{"empty", "", 0, "read back the mounts: / is not mounted (p.yaml:1)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n, _, err := checkText(mountsTree(), []byte(tt.table))
			got := ""
			if err != nil {
				got = err.Error()
			}
			var typed *fail.Error
			if err == nil && len(n) != tt.reached || got != tt.want || err != nil && !errors.As(err, &typed) {
				t.Errorf("reached %d, %q; want %d, %q", len(n), got, tt.reached, tt.want)
			}
		})
	}
}

// TestCheckMountsCycle checks that the comparison ends even if the parents form a circle, which no kernel would write.
func TestCheckMountsCycle(t *testing.T) {
	done := make(chan error, 1)
	go func() {
		_, _, err := checkText(mountsTree(), []byte(table("10 11 / ro,nosuid", "11 10 / ro,nosuid", "12 12 /x rw")))
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil {
			t.Error("a table without a root is good enough")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("does not end")
	}
}

// TestCheckMountsMany reads thousands of mounts in the time of a launch.
func TestCheckMountsMany(t *testing.T) {
	tree := &picture.Tree{Files: sandboxtest.FakeTree()}
	tree.Add(picture.Part{Target: "/", Source: "/"})
	lines := []string{"10 1 / ro,nosuid"}
	for i := range 5000 {
		p := fmt.Sprintf("/srv/%d/deep/down/here", i)
		tree.Add(picture.Part{Target: p, Source: p})
		lines = append(lines, fmt.Sprintf("%d 10 %s ro,nosuid", i+20, p))
	}
	text := []byte(table(lines...))
	began := time.Now()
	n, _, err := checkText(tree, text)
	if len(n) != 5001 || err != nil {
		t.Errorf("reached %d, %v", len(n), err)
	}
	if took := time.Since(began); took > sandboxtest.Slow(2*time.Second) {
		t.Errorf("took %v", took)
	}
}

func FuzzCheckMounts(f *testing.F) {
	f.Add("10 1 0:1 / / ro,nosuid - tmpfs none rw\n11 10 0:2 / /tmp rw,nosuid - tmpfs none rw\n")
	f.Fuzz(func(t *testing.T, text string) {
		n, _, err := checkText(mountsTree(), []byte(text))
		if err == nil && len(n) < 3 {
			t.Errorf("%q: %d mounts are as good as three", text, len(n))
		}
	})
}
