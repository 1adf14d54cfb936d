package sandbox

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cordon/policy"
	"cordon/sandbox/internal/sandboxtest"
)

// TestHostOverlay writes, changes, removes and reads files in an overlay over the host's root. The host must see none
// of that. If a directory stores the changes, the next sandbox must see them. A hidden file must stay hidden, and what
// is mounted on the host must stay read-only.
func TestHostOverlay(t *testing.T) {
	for _, kept := range []bool{false, true} {
		dir, upper := publicDir(t), "tmp"
		if kept {
			upper = publicDir(t)
		}
		for name, text := range map[string]string{"changed": "old\n", "removed": "old\n", "secret": "secret\n"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		before := listing(t, dir)
		run := func(script string) string {
			t.Helper()
			c := &Cmd{Profile: sandboxtest.OverHost(upper), Args: []string{"sh", "-c", "cd " + dir + "\n" + script}, Env: []string{"PATH=/usr/bin:/bin"}}
			c.Profile.Hide = []policy.Hide{{Pattern: dir + "/secret"}}
			text, report := output(t, c)
			if report.Exit != 0 {
				t.Errorf("exit %d: %s", report.Exit, text)
			}
			return text
		}
		text := run("echo new >changed; rm removed; mkdir made; echo x >made/x; cat changed made/x; ls; cat secret 2>/dev/null; echo x >/sys/x || echo sys; echo x >/x || echo root; :")
		if got := strings.Join(strings.Fields(text), " "); !strings.HasPrefix(got, "new x changed made secret ") || !strings.HasSuffix(got, " root") || !strings.Contains(got, " sys ") {
			t.Errorf("kept %v: %s", kept, got)
		}
		if after := listing(t, dir); after != before {
			t.Errorf("kept %v: the host's directory was\n%s\nand is\n%s", kept, before, after)
		}
		want := "old\nchanged\nremoved\nsecret\n"
		if kept {
			want = "new\nchanged\nmade\nsecret\n"
		}
		if got := run("cat changed; ls"); got != want {
			t.Errorf("kept %v: the next one sees %q", kept, got)
		}
	}
	asUserToo(t)
}

// listing returns the names in a directory.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var text []byte
			text, err = os.ReadFile(path)
			path += ": " + string(text)
		}
		b.WriteString(path + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestHostOverlayGivesNothing checks that root's task has no more rights in an overlay than without one: it cannot
// write files that only root may write, and cannot read files that only root may read.
func TestHostOverlayGivesNothing(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("an ordinary user's task is the user")
	}
	dir := publicDir(t)
	if err := os.WriteFile(dir+"/secret", []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := shell(t, "cat "+dir+"/secret; touch "+dir+"/new /usr/new; cat /etc/shadow; echo x >/var/tmp/cordon-test-x && cat /var/tmp/cordon-test-x")
	c.Profile = sandboxtest.OverHost("tmp")
	c.Profile.User.Host = policy.HostAuto
	text, _ := output(t, c)
	if strings.Contains(text, "secret\n") || strings.Contains(text, "root:") || strings.Count(text, "\n") != 5 || !strings.HasSuffix(text, "\nx\n") {
		t.Errorf("%s", text)
	}
	if _, err := os.Lstat("/var/tmp/cordon-test-x"); err == nil {
		t.Error("it was written to the host")
	}
}
