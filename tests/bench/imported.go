package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/moby/profiles/seccomp"
)

// The rows of a launch with Docker's default profile, imported, and of the same launch without a filter.
const (
	nameImported   = "cordon run, Docker's default imported"
	nameUnfiltered = "cordon run, the same without a filter"
)

// makeImported writes three profiles: a file tree to run in, Docker's system calls as `cordon profile import`
// converts them, and all system calls. Each of the latter two is merged over the first.
func makeImported(dir string) error {
	text, err := json.Marshal(seccomp.DefaultProfile())
	if err != nil {
		return err
	}
	docker := filepath.Join(dir, "docker.json")
	for path, text := range map[string][]byte{
		docker:                           text,
		filepath.Join(dir, "tree.yaml"):  []byte("version: 1\nname: tree\nroot: {host: ro}\nmounts:\n  - {proc: /proc}\n  - {dev: /dev}\nmissing: [landlock]\n"),
		filepath.Join(dir, "allow.yaml"): []byte("version: 1\nname: allow\nsyscalls: {default: allow, unknown: allow}\n"),
	} {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return err
		}
	}
	out, err := exec.Command(filepath.Join(dir, "cordon"), "profile", "import", "--bare", "--lossy", "-o", filepath.Join(dir, "docker.yaml"), docker).CombinedOutput()
	if err != nil {
		return fmt.Errorf("profile import: %w: %s", err, out)
	}
	return os.Chmod(filepath.Join(dir, "docker.yaml"), 0o644)
}

func importedRows(dir string) []row {
	run := func(over string) string {
		return fmt.Sprintf("%s/cordon run -p %s/tree.yaml -p %s/%s.yaml -- /bin/true", copyDir, dir, dir, over)
	}
	return []row{
		{Name: nameImported, command: run("docker"), must: true},
		{Name: nameUnfiltered, command: run("allow"), must: true},
	}
}
