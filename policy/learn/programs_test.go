package learn

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"cordon/policy"
	"cordon/policy/recording"
)

// programs lists programs of this machine, with the files that each finds in its working directory.
var programs = []struct {
	name    string
	files   map[string]string
	command []string
}{
	{"true", nil, []string{"true"}},
	{"ls", map[string]string{"a": "x"}, []string{"ls", "-la", "."}},
	{"shell", map[string]string{"a": "x\n"}, []string{"sh", "-c", "cat a | sort > b; rm b; id; mkdir d; echo 1 > d/e"}},
	{"gcc", map[string]string{"a.c": "int main(void){return 0;}\n"}, []string{"gcc", "-o", "a", "a.c"}},
	{"python", map[string]string{"a.py": "import json, threading, socket, subprocess\nprint(json.dumps([1]))\nthreading.Thread(target=print).start()\nsubprocess.run(['true'])\nopen('out','w').write('x')\n"}, []string{"/usr/bin/python3", "a.py"}},
	{"git", nil, []string{"sh", "-c", "git init -q . && git add -A && git -c user.name=a -c user.email=b commit -q --allow-empty -m x && git log"}},
	{"tar", map[string]string{"a": "x", "b": "y"}, []string{"tar", "czf", "out.tgz", "a", "b"}},
	{"node", map[string]string{"a.js": "require('fs').writeFileSync('o','x'); console.log(1)"}, []string{"node", "a.js"}},
}

// traced runs a command under strace and returns a recording of it.
func traced(t *testing.T, dir string, files map[string]string, command []string) *recording.Recording {
	t.Helper()
	program, err := exec.LookPath(command[0])
	if err != nil {
		t.Skip(err)
	}
	known = map[string]bool{"/dev/null": true, "/dev/tty": true}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		known[filepath.Join(dir, name)] = true
	}
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command("strace", append([]string{"-f", "-y", "-s", "4096", "-o", trace, program}, command[1:]...)...)
	cmd.Dir, cmd.Env = dir, []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + filepath.Join(filepath.Dir(dir), "home")}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("strace: %v: %s", err, out)
	}
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	return fromStrace(t, string(text), append([]string{program}, command[1:]...), filepath.Join(filepath.Dir(dir), "home"), dir)
}

func base(t testing.TB) *policy.Profile {
	t.Helper()
	text, err := os.ReadFile("../../profiles/base.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Parse("base.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func guard(t testing.TB) (secrets []string, env []policy.EnvKeep) {
	t.Helper()
	text, err := os.ReadFile("../../profiles/default.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Parse("default.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range p.Hide {
		secrets = append(secrets, h.Pattern)
	}
	return secrets, p.Env.Keep
}

// TestPrograms checks that the profile learned from the trace of a real program is valid and allows the whole trace.
func TestPrograms(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip(err)
	}
	secrets, env := guard(t)
	for _, c := range programs {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "work")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			rec := traced(t, dir, c.files, c.command)
			var b bytes.Buffer
			if err := rec.Write(&b); err != nil {
				t.Fatal(err)
			}
			if keep := os.Getenv("LEARN_KEEP"); keep != "" {
				_ = os.WriteFile(filepath.Join(keep, c.name+".rec"), b.Bytes(), 0o644)
			}
			var f Facts
			if err := f.Read(c.name+".rec", &b); err != nil {
				t.Fatal(err)
			}
			r, err := Learn(&f, Options{Name: "x", Extends: []string{"base"}, Parent: base(t), Secrets: secrets, Env: env})
			if err != nil {
				t.Fatal(err)
			}
			p, err := policy.Parse("x.yaml", r.YAML())
			if err != nil {
				t.Fatalf("%v\n%s", err, r.YAML())
			}
			p.Extends = nil
			p = policy.Merge(base(t), p)
			if err := policy.Validate(p); err != nil {
				t.Fatalf("%v\n%s", err, r.YAML())
			}
			denials, err := Replay(p, &f)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range denials {
				if d.Maybe {
					continue
				}
				t.Errorf("%s: %s: %s (%s; %s)", d.Layer, d.What, d.Why, d.At.Short(), d.By.Short())
			}
			if t.Failed() || testing.Verbose() {
				t.Logf("%s", r.YAML())
				for _, n := range r.Notes {
					t.Logf("%s: %s: %s (%s)", n.Kind, n.What, n.Why, n.At.Short())
				}
			}
		})
	}
}
