package git

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// anIndex returns an index in git's format. entries maps the name of an entry to its mode.
func anIndex(version uint32, entries map[string]uint32, names ...string) []byte {
	b := []byte("DIRC")
	b = binary.BigEndian.AppendUint32(b, version)
	b = binary.BigEndian.AppendUint32(b, uint32(len(names)))
	last := ""
	for _, name := range names {
		start := len(b)
		b = append(b, make([]byte, modeAt)...)
		b = binary.BigEndian.AppendUint32(b, entries[name])
		b = append(b, make([]byte, statSize-modeAt-4+20)...)
		flags := uint16(min(len(name), nameMask))
		if version >= 3 && name[0] == 'x' {
			b = binary.BigEndian.AppendUint16(b, flags|longFlags)
			flags = 0
		}
		b = binary.BigEndian.AppendUint16(b, flags)
		if version == 4 {
			same := 0
			for same < len(name) && same < len(last) && name[same] == last[same] {
				same++
			}
			b = append(append(append(b, byte(len(last)-same)), name[same:]...), 0)
			last = name
			continue
		}
		b = append(b, name...)
		for n := 8 - (len(b)-start)%8; n > 0; n-- {
			b = append(b, 0)
		}
	}
	b = append(b, "TREE\x00\x00\x00\x01xlink\x00\x00\x00\x14"...)
	b = append(b, bytes.Repeat([]byte{0xab}, 20)...)
	return append(b, make([]byte, 20)...)
}

func TestParseIndex(t *testing.T) {
	entries := map[string]uint32{"a": 0o100644, "lib": modeGitlink, "lib2/deep": modeGitlink, "x": 0o120000, "xy": modeGitlink}
	for _, version := range []uint32{2, 3, 4} {
		ix, err := ParseIndex(anIndex(version, entries, "a", "lib", "lib2/deep", "x", "xy"), 20)
		if err != nil {
			t.Fatal(err)
		}
		if want := []string{"lib", "lib2/deep", "xy"}; !slices.Equal(ix.Gitlinks, want) {
			t.Errorf("version %d: %q", version, ix.Gitlinks)
		}
		if want := "sharedindex." + strings.Repeat("ab", 20); ix.Shared != want {
			t.Errorf("version %d: %q", version, ix.Shared)
		}
	}
	for _, bad := range []string{"", "DIRC", "DIRC\x00\x00\x00\x09\x00\x00\x00\x00" + strings.Repeat("x", 20), "DIRC\x00\x00\x00\x02\x00\x00\x00\x01" + strings.Repeat("x", 40)} {
		if _, err := ParseIndex([]byte(bad), 20); err == nil {
			t.Errorf("%q is an index", bad)
		}
	}
}

func FuzzParseIndex(f *testing.F) {
	entries := map[string]uint32{"a": 0o100644, "lib": modeGitlink, "xy": modeGitlink}
	for _, version := range []uint32{2, 3, 4} {
		f.Add(anIndex(version, entries, "a", "lib", "xy"))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, hash := range []int{20, 32} {
			if ix, err := ParseIndex(data, hash); err == nil && len(ix.Gitlinks) > len(data) {
				t.Error("more links than bytes")
			}
		}
	})
}

// TestIndexOfGit checks that ParseIndex can read what git itself has written.
func TestIndexOfGit(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("no git")
	}
	for _, version := range []string{"2", "4"} {
		dir := t.TempDir()
		git := func(args ...string) {
			t.Helper()
			c := exec.Command("git", append([]string{"-C", dir}, args...)...)
			c.Env = append(os.Environ(), "HOME="+dir, "GIT_CONFIG_NOSYSTEM=1")
			if out, err := c.CombinedOutput(); err != nil {
				t.Fatalf("git %v: %v %s", args, err, out)
			}
		}
		git("init", "-q")
		for _, name := range []string{"b", "dir/c", "z"} {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		git("add", ".")
		git("update-index", "--add", "--cacheinfo", "160000,"+strings.Repeat("1", 40)+",dir/sub")
		git("update-index", "--index-version", version)
		data, err := os.ReadFile(filepath.Join(dir, ".git/index"))
		if err != nil {
			t.Fatal(err)
		}
		ix, err := ParseIndex(data, 20)
		if err != nil || !slices.Equal(ix.Gitlinks, []string{"dir/sub"}) {
			t.Errorf("version %s: %+v, %v", version, ix, err)
		}
	}
}

const aConfig = `[core]
	repositoryformatversion = 0
	hooksPath = ".git hooks" ; here
[remote "origin"]
	url = https://ann:pw@example.org/x.git
	url = ssh://git@example.org/x
	url = git@example.org:x.git
[http "https://tok@example.org/"] extraHeader = AUTHORIZATION: basic \
xyz
[credential "https://example.org"]
	helper = store
[user]
	name = A \"B\" # c
	bare
`

func TestConfig(t *testing.T) {
	vars, err := ParseConfig([]byte(aConfig))
	if err != nil {
		t.Fatal(err)
	}
	if got := vars[1]; got.Name() != "core.hookspath" || got.Value != ".git hooks" {
		t.Errorf("%+v", got)
	}
	if got := vars[5]; got.Key != "extraheader" || got.Value != "AUTHORIZATION: basic xyz" || got.Subsection != "https://tok@example.org/" {
		t.Errorf("%+v", got)
	}
	if again, err := ParseConfig([]byte(FormatConfig(vars))); err != nil || !slices.Equal(again, vars) {
		t.Errorf("%+v, %v", again, err)
	}
	safe, cut := WithoutSecrets(vars)
	text := FormatConfig(safe)
	if cut != Secrets {
		t.Error("no secret found")
	}
	for _, secret := range []string{"pw", "xyz", "tok", "store", "ann"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s is left in\n%s", secret, text)
		}
	}
	for _, kept := range []string{"https://example.org/x.git", "ssh://git@example.org/x", "git@example.org:x.git", `A \"B\"`} {
		if !strings.Contains(text, kept) {
			t.Errorf("%s is not in\n%s", kept, text)
		}
	}
	if _, cut := WithoutSecrets(safe); cut != Nothing {
		t.Error("a secret is left")
	}
	for _, bad := range []string{"x", "[a", "[a \"b", "[a]\nx = \"y", "[a]\nx = \\q", "[]\nx=1", "[a]\n=1"} {
		if _, err := ParseConfig([]byte(bad)); err == nil {
			t.Errorf("%q is a configuration", bad)
		}
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(aConfig))
	f.Fuzz(func(t *testing.T, data []byte) {
		vars, err := ParseConfig(data)
		if err != nil {
			return
		}
		if bytes.ContainsRune(data, 0) {
			return
		}
		again, err := ParseConfig([]byte(FormatConfig(vars)))
		if err != nil || !slices.Equal(again, vars) {
			t.Errorf("%q: %+v became %+v, %v", data, vars, again, err)
		}
	})
}
