package sandbox

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/sandboxtest"
)

// TestStill shows a read-only directory through an overlay. It must be a plain bind if the profile says live, or if the
// kernel cannot make the overlay. The layers are passed by descriptor, and by name as for kernels before 6.13.
func TestStill(t *testing.T) {
	dir := publicDir(t)
	l, err := net.Listen("unix", filepath.Join(dir, "sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("text\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, kernel := range [][2]int{{6, 18}, {6, 1}} {
		for _, live := range []bool{false, true} {
			h, err := host.Probe()
			if err != nil {
				t.Fatal(err)
			}
			h.Cwd = dir
			if !h.Since(kernel[0], kernel[1]) {
				continue
			}
			h.Kernel = kernel
			p := sandboxtest.HostRoot()
			p.Mounts = append(p.Mounts, policy.Mount{Kind: policy.MountBind, Source: dir, Target: dir, Live: live})
			text, report := output(t, &Cmd{Profile: p, Host: h, Args: []string{"sh", "-c", "cd " + dir + " && cat file; cat sock; grep " + dir + " /proc/self/mountinfo"}, Env: []string{"PATH=/usr/bin:/bin"}})
			if got := strings.Contains(text, " "+compile.StillSource+" "); got == live || !strings.HasPrefix(text, "text\n") {
				t.Errorf("kernel %v live %v: %s", kernel, live, text)
			}
			if len(report.Missing) > 0 {
				t.Errorf("kernel %v live %v: missing %v", kernel, live, report.Missing)
			}
			if !live && !strings.Contains(text, dir+"/sock ") {
				t.Errorf("kernel %v: the socket is not covered: %s", kernel, text)
			}
		}
	}
	asUserToo(t)
}
