package hosts

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cordon/tests/scratch"
)

// ordinary is the ordinary user as whom root also starts the sandboxes. It needs no entry in /etc/passwd.
const ordinary = 65532

func TestMain(m *testing.M) {
	if list, ok := os.LookupEnv(applyVar); ok {
		fmt.Fprintln(os.Stderr, "hosts:", apply(list))
		os.Exit(99)
	}
	os.Exit(m.Run())
}

// site describes the place in which the sandboxes are started: directories that the ordinary user can reach.
type site struct{ base, cordon, rootfs string }

func newSite(t *testing.T) *site {
	t.Helper()
	dir, err := scratch.Dir("/var/tmp", "hosts")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		endPause(dir)
		_ = os.RemoveAll(dir)
	})
	bin, err := filepath.Abs(os.Getenv("CORDON_BIN"))
	if err != nil || os.Getenv("CORDON_BIN") == "" {
		bin = "../../bin/cordon"
	}
	s := &site{base: dir, cordon: dir + "/bin/cordon", rootfs: dir + "/rootfs"}
	steps := [][]string{
		{"chmod", "755", dir},
		{"mkdir", "-p", dir + "/bin", dir + "/home0/work", dir + "/home1/work", dir + "/bundle", dir + "/noexec", dir + "/without", s.rootfs + "/bin"},
		{"cp", bin, s.cordon}, {"cp", bin, s.rootfs + "/bin/cordon"},
		{"cp", "/bin/busybox", dir + "/bin/true"}, {"cp", "/bin/busybox", dir + "/noexec/true"}, {"cp", "/bin/busybox", s.rootfs + "/bin/true"}, {"cp", "/bin/busybox", s.rootfs + "/bin/busybox"},
		{"cp", "/proc/self/exe", dir + "/self"},
	}
	for _, name := range []string{"proc", "dev", "sys", "tmp", "etc", "home", "run"} {
		steps = append(steps, []string{"mkdir", "-p", s.rootfs + "/" + name})
	}
	if os.Getuid() == 0 {
		steps = append(steps, []string{"chown", "-R", strconv.Itoa(ordinary), dir + "/home1", s.rootfs})
	}
	for _, args := range steps {
		if args[0] == "cp" && args[1] == "/proc/self/exe" {
			args[1], _ = os.Executable()
		}
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	return s
}

// endPause ends the process that rootless podman leaves behind to keep its namespaces alive.
func endPause(dir string) {
	files, _ := filepath.Glob(dir + "/home*/libpod/tmp/pause.pid")
	for _, name := range files {
		text, _ := os.ReadFile(name)
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && pid > 1 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// start starts a sandbox on the host of a row as a user.
func (s *site) start(h *host, uid int) (text string, code int) {
	fill := strings.NewReplacer("BASE", s.base, "ROOT", s.rootfs)
	args := []string{s.cordon}
	inside := h.container != nil || strings.Contains(strings.Join(h.before, " "), "ROOT") || strings.Contains(h.apply, "chroot")
	if inside {
		args[0] = "/bin/cordon"
	}
	if h.args == nil {
		args = append(args, "run", "-v", "--", "true")
	}
	for _, a := range h.args {
		args = append(args, fill.Replace(a))
	}
	apply := fill.Replace(h.apply)
	if h.container != nil {
		b := *h.container
		b.args, b.uid = args, uid
		if uid != 0 {
			b.caps = nil
		}
		if err := b.write(s.base+"/bundle", s.rootfs); err != nil {
			return err.Error(), -1
		}
		args = []string{"/usr/sbin/runc", "run", "--bundle", s.base + "/bundle", "cordon-hosts-" + strconv.Itoa(os.Getpid())}
	} else if uid != os.Getuid() {
		apply += "\nuid " + strconv.Itoa(uid)
	}
	if h.before != nil {
		var before []string
		for _, a := range h.before {
			before = append(before, fill.Replace(a))
		}
		before[0], _ = exec.LookPath(before[0])
		args = append(before, args...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, s.base+"/self", args...)
	home := s.base + "/home0"
	if uid != 0 {
		home = s.base + "/home1"
	}
	c.Dir = home + "/work"
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, applyVar + "=" + apply, "XDG_RUNTIME_DIR=" + home}
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if h.own {
		c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{Size: 1<<32 - 2}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{Size: 1<<32 - 2}}
		c.SysProcAttr.GidMappingsEnableSetgroups = true
	}
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	c.WaitDelay = time.Second
	err := c.Run()
	if ctx.Err() != nil {
		return out.String() + "hangs", -2
	}
	if err != nil && c.ProcessState == nil {
		return err.Error(), -1
	}
	return out.String(), c.ProcessState.ExitCode()
}

// TestHosts starts a sandbox on every host of the table.
func TestHosts(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("the hosts are made by root")
	}
	s := newSite(t)
	for _, h := range hosts() {
		if _, err := exec.LookPath(h.need); h.need != "" && err != nil {
			if os.Getenv("CORDON_CI") == "1" {
				t.Errorf("%s: %s is not installed: .ci/setup", h.name, h.need)
			}
			continue
		}
		for uid, want := range map[int]string{0: h.root, ordinary: h.user} {
			if want == "" {
				continue
			}
			t.Run(h.name+"/"+strconv.Itoa(uid), func(t *testing.T) {
				text, code := s.start(&h, uid)
				if bad := differs(want, text, code); bad != "" {
					t.Errorf("%s: exit code %d, %s:\n%s", want, code, bad, told(text))
				}
			})
		}
	}
}

// outerNest matches the lines about what an outer sandbox lacks that has nest (other sandboxes can be made in it).
var outerNest = regexp.MustCompile("(?m)^cordon: missing: [a-z]+: nest: .*\n")

// differs says how the result of a start differs from what its row expects.
func differs(want, text string, code int) string {
	word, cause, _ := strings.Cut(want, " ")
	text = outerNest.ReplaceAllString(text, "") // the outer sandbox has printed these lines
	missing, way := has(text, "missing"), has(text, "way on")
	switch {
	case word == "refused" && code != 125:
		return "it is not refused"
	case word == "unable" && code != 126:
		return "the exit code is not 126"
	case word == "unable" && !has(text, "hint"):
		return "there is no hint"
	case word != "refused" && word != "unable" && code != 0:
		return "it does not start"
	case word == "refused" && !causeLine(text, cause):
		return "the cause is not told"
	case word == "refused" && !has(text, "hint"):
		return "there is no hint"
	case (word == "full" || word == "way") && missing:
		return "something is missing"
	case word == "way" && !way, word == "missing" && !missing:
		return "it is not told"
	case !strings.Contains(text, cause):
		return "it does not say " + cause
	}
	return ""
}

// causeLine reports whether one error line names a layer and the cause.
func causeLine(text, cause string) bool {
	for line := range strings.Lines(text) {
		if after, ok := strings.CutPrefix(line, "cordon: error: "); ok && strings.Contains(after, cause) {
			layer, _, _ := strings.Cut(after, ":")
			return layer != "" && !strings.ContainsAny(layer, " /(")
		}
	}
	return false
}

func has(text, kind string) bool { return strings.Contains(text, "cordon: "+kind+": ") }

// told returns what cordon has printed, without the enforced layers.
func told(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "cordon: enforced") && !strings.HasPrefix(line, "cordon: used") {
			b.WriteString("  " + line)
		}
	}
	return b.String()
}

// TestAppArmor parses the packaged AppArmor profile. Parsers before 4.0 do not know the rule that the profile needs.
func TestAppArmor(t *testing.T) {
	const file = "../../packaging/apparmor/cordon"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"abi <abi/4.0>,", "\n  userns,\n", "flags=(unconfined) {", "/{usr/,usr/local/,}bin/cordon"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("there is no %s in it", want)
		}
	}
	parser := "/usr/sbin/apparmor_parser"
	version, err := exec.Command(parser, "--version").Output()
	if err != nil {
		if os.Getenv("CORDON_CI") == "1" {
			t.Errorf("apparmor_parser is not installed: .ci/setup")
		}
		t.Skip("no apparmor_parser")
	}
	if strings.Contains(string(version), " 3.") || strings.Contains(string(version), " 2.") {
		text = []byte(strings.NewReplacer("\n  userns,", "", "abi/4.0", "abi/3.0").Replace(string(text)))
	}
	c := exec.Command(parser, "-Q", "-K")
	c.Stdin = bytes.NewReader(text)
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// document is the page with the table. `make hosts` tries every host, and then writes the page.
const document = "../../docs/hosts.md"

// TestDocument compares the document with the rows.
func TestDocument(t *testing.T) {
	want := table()
	if os.Getenv("CORDON_HOSTS") == "write" {
		if err := os.WriteFile(document, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(document)
	if err != nil || string(got) != want {
		t.Errorf("docs/hosts.md is not what the rows say (%v): make hosts", err)
	}
}

func table() string {
	var b strings.Builder
	b.WriteString(preamble + "\n| host | root | user |\n|---|---|---|\n")
	for _, h := range hosts() {
		b.WriteString("| " + h.name + " | " + shown(h.root) + " | " + shown(h.user) + " |\n")
	}
	return b.String()
}

// shown returns a cell in the form that the document has.
func shown(cell string) string {
	word, cause, _ := strings.Cut(cell, " ")
	switch word {
	case "":
		return "—"
	case "way":
		return "full by a way on: " + cause
	case "missing":
		return "starts, and names what is missing: " + cause
	case "refused":
		return "refused: " + cause
	case "unable":
		return "the program cannot be executed: " + cause
	}
	return word
}
