package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cordon/policy"
)

// TestGuessedWords checks that a word of another tool gives an error that names the right word.
func TestGuessedWords(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	for _, tt := range []struct{ typed, hint string }{
		{"stop web", "cordon kill SANDBOX"},
		{"shell web", "cordon exec -t SANDBOX -- sh"},
		{"top", "cordon stats"},
		{"attach web", "cordon logs -f"},
		{"images", "--root DIR"},
		{"trace ls", "cordon record"},
		{"lint x", "cordon profile lint"},
		{"ls", "cordon ps"},
		{"true x", "cordon run -- true x"},
		{"./tool", "cordon run -- ./tool"},
		{"profile edit default", "cordon profile new NAME --extends default"},
		{"profile rm mine", "cordon profile ls"},
		{"profile delete", "cordon profile ls"},
		{"run -v /src:/dst ls", "--rw /src:/dst"},
		{"run -v ~/x:/dst:ro ls", "--ro"},
		{"run -p 80:8080 nginx", "--publish 8080:80 publishes"},
		{"run --privileged true", "--cap"},
		{"run --read-only=/x true", "--ro /x"},
		{"run --entrypoint=sh x", "after --"},
		{"run --setenv A B x", "--env A=VALUE"},
		{"run --mount type=volume,src=v,dst=/v x", "type=bind"},
		{"run --init -- x", "--init takes a value"},
		{"run --init yes x", "--init none"},
		{"run --restart=always x", "systemd"},
		{"run --dbus-user=none x", "--rw"},
		{"run --join=x y", "cordon exec"},
		{"run --device=/dev/kvm x", "--rw /dev/NAME"},
		{"run --shm-size 1g x", "--tmpfs /dev/shm"},
		{"run --cpu-shares 2 x", "--cpu-weight"},
		{"run --tty -- ls", "--tty takes a value"},
		{"run --bind /a /b x", "--rw SOURCE:TARGET"},
		{"run --ro-bind /a /b x", "--ro SOURCE:TARGET"},
		{"run --clearenv x", "--keep-env"},
		{"run --unsetenv A x", "--remove env=NAME"},
		{"run --private=/x y", "--tmpfs"},
		{"run --read-write=/x y", "--rw"},
		{"run --caps.drop=all x", "--cap-drop"},
		{"run --rlimit-nofile=9 x", "--rlimit"},
		{"run --time_limit 5 x", "--timeout"},
		{"run --rlimit_as 5 x", "--rlimit"},
		{"run --bindmount_ro /a x", "--ro"},
		{"run -B /a x", "--rw"},
		{"run --disable_clone_newnet x", "--ns"},
		{"run --chroot / x", "--root"},
		{"run --volume data:/data x", "./data:/data"},
		{"run --network=bridge x", "none"},
		{"run --cap-add ALL x", "name each of them"},
	} {
		u, _, text := newTestUI()
		if code := u.main(strings.Fields(tt.typed)); code != exitLauncher {
			t.Errorf("%s: exit code %d", tt.typed, code)
		}
		if _, hint, _ := strings.Cut(text.String(), "cordon: hint: "); !strings.Contains(hint, tt.hint) {
			t.Errorf("%s: no hint at %s:\n%s", tt.typed, tt.hint, text)
		}
	}
}

// TestHintsNameFlags checks that every flag at the beginning of a hint exists.
func TestHintsNameFlags(t *testing.T) {
	known := map[string]bool{"--verbose": true, "--kill-after": true, "--": true, "--name": true, "--report": true, "--log-max-size": true, "--log-files": true}
	for f := range policy.AllFlags {
		known["--"+f.Name] = true
	}
	for _, g := range guessedFlags {
		for _, w := range strings.FieldsFunc(g.text, func(r rune) bool { return strings.ContainsRune(" ,;:'", r) }) {
			if strings.HasPrefix(w, "--") && !known[w] {
				t.Errorf("%s: the hint names %s", g.word, w)
			}
		}
	}
	for _, g := range sameCommand {
		if !named(g.text) || named(g.word) {
			t.Errorf("%s: another word for %s", g.word, g.text)
		}
	}
}

func TestSplitProfiles(t *testing.T) {
	dir := t.TempDir()
	comma := filepath.Join(dir, "a,b.yaml")
	if err := os.WriteFile(comma, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := splitProfiles([]string{"a,b", comma, "./c.yaml,d", "e"})
	if want := "a b " + comma + " ./c.yaml d e"; err != nil || strings.Join(got, " ") != want {
		t.Errorf("%q, %v", got, err)
	}
}

func TestRising(t *testing.T) {
	dir := t.TempDir()
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	sub := filepath.Join(dir, "a", "b")
	if err := os.MkdirAll(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(sub, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Join(dir, "link")) // the kernel's .. is directory a, whatever $PWD says
	for _, tt := range []struct{ name, value, want string }{
		{"rw", "..", dir + "/a"}, {"rw", "../", dir + "/a"}, {"ro", "../..", dir}, {"ro", "../c", dir + "/a/c"},
		{"rw", "..:/x", dir + "/a:/x"}, {"volume", "../c:/x:ro", dir + "/a/c:/x:ro"}, {"root", "../r", dir + "/a/r"},
		{"hide", "../.env", dir + "/a/.env"}, {"rw", "a/../b", "a/../b"}, {"rw", "..a", "..a"}, {"env", "../x", "../x"},
		{"tty", "..", ".."}, {"overlay", "../up", dir + "/a/up"}, {"io", "../f:rbps=1", dir + "/a/f:rbps=1"},
	} {
		if got := rising(tt.name, tt.value); got != tt.want {
			t.Errorf("--%s %s: %s, want %s", tt.name, tt.value, got, tt.want)
		}
	}
}

func TestBareQuestion(t *testing.T) {
	for what, want := range map[string]string{
		"/etc/passwd": "open:/etc/passwd", "~/.ssh": "open:~/.ssh", "./x:w": "open:./x:w", "example.org:443": "connect:example.org:443",
		"[::1]:80": "connect:[::1]:80", "CAP_NET_RAW": "cap:CAP_NET_RAW", "read": "read", "signal:1": "signal:1", "435": "435", "limit:pids=3": "limit:pids=3",
	} {
		if got := bareQuestion(what); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
}

// TestRunsOwnFlags checks that each flag of run either sets a key of the profile or is in the list below, because it
// concerns the launch and not the sandbox.
func TestRunsOwnFlags(t *testing.T) {
	apart := map[string]string{
		"profile": "names the profiles", "trust": "about the profile's file", "detach": "how the caller waits", "name": "for other commands",
		"rm": "what is kept", "log-max-size": "what is kept", "log-files": "what is kept", "report": "a file of the caller's",
		"summary": "what is said", "summary-file": "a file of the caller's", "verbose": "what is said", "quiet": "what is said",
		"interactive": "the caller's stdin", "terminal": "the caller's stdin", "record-tty": "a file of the caller's",
		"kill-after": "what the launcher does with a signal", "dry-run": "nothing is run", "help": "nothing is run",
	}
	u, _, _ := newTestUI()
	run := newRun(u)
	run.InitDefaultHelpFlag()
	keys := map[string]bool{}
	for f := range policy.AllFlags {
		keys[f.Name] = true
	}
	for name, shown := range flagsOf(run) {
		if !shown {
			continue
		}
		if keys[name] == (apart[name] != "") {
			t.Errorf("--%s: key %v, apart %q", name, keys[name], apart[name])
		}
		delete(apart, name)
	}
	for name := range apart {
		if name != "help" {
			t.Errorf("--%s is not a flag any more", name)
		}
	}
}

// flagsOf returns the names of a command's flags.
func flagsOf(c *cobra.Command) map[string]bool {
	names := map[string]bool{}
	c.Flags().VisitAll(func(f *pflag.Flag) { names[f.Name] = !f.Hidden })
	return names
}
