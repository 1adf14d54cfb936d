package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"cordon/policy"
	"cordon/policy/phrase"
)

// referenceName is the name of the program that compares filters with libseccomp's. It is a separate program because
// cordon links no C. cordon looks for it only in cordon's own directory. It does not search PATH, because a project
// could put a program of its own there.
const referenceName = "cordon-reference"

// referenceReport is a report of cordon-reference, with only the fields that cordon uses.
type referenceReport struct {
	Summary     string      `json:"summary"`
	Libseccomp  string      `json:"libseccomp"`
	Arch        string      `json:"arch"`
	Optimize    int         `json:"optimize"`
	Ours        int         `json:"ours"`
	Theirs      int         `json:"theirs"`
	Compared    int         `json:"compared"`
	Differences []different `json:"differences"`
	Gaps        []gap       `json:"gaps"`
}

type different struct {
	Text   string    `json:"text"`
	Arch   string    `json:"arch"`
	Call   string    `json:"call,omitempty"`
	Nr     uint32    `json:"nr"`
	Args   [6]uint64 `json:"args"`
	Ours   string    `json:"ours"`
	Theirs string    `json:"theirs"`
	Right  string    `json:"right"`
	From   string    `json:"from,omitempty"`
}

type gap struct {
	Text  string   `json:"text"`
	What  string   `json:"what"`
	Calls []string `json:"calls,omitempty"`
}

// referencePath returns the path of cordon-reference.
func referencePath() (string, error) {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return "", &cliError{err: because("reference: /proc/self/exe", err)}
	}
	path := filepath.Join(filepath.Dir(self), referenceName)
	if err := ownProgram(path); err != nil {
		return "", &cliError{err: because("reference: "+path, err),
			hint: "install gcc, pkg-config and libseccomp's headers (apt-get install gcc pkg-config libseccomp-dev), run make build, and put cordon-reference in the directory of cordon"}
	}
	return path, nil
}

// ownProgram returns an error if anybody except root and the caller can write to a program or to its directory.
func ownProgram(path string) error {
	for _, p := range []string{filepath.Dir(path), path} {
		info, err := os.Lstat(p)
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok || st.Uid != 0 && int(st.Uid) != os.Getuid() || info.Mode().Perm()&0o002 != 0 {
			return errors.New(p + ": others can write to it")
		}
	}
	return nil
}

// compareWithReference runs cordon-reference on the profile's filter.
func compareWithReference(p *policy.Profile) ([]*referenceReport, error) {
	path, err := referencePath()
	if err != nil {
		return nil, err
	}
	spec, err := p.Filter()
	if err != nil {
		return nil, err
	}
	request, err := json.Marshal(map[string]any{"spec": spec, "arch": runtime.GOARCH})
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path)
	cmd.Env = []string{"LC_ALL=C"}
	var out, text bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(request), &out, &text
	if err := cmd.Run(); err != nil {
		first, _, _ := strings.Cut(strings.TrimSpace(text.String()), "\n")
		return nil, &cliError{err: errors.New("reference: " + referenceName + ": " + err.Error() + phrase.Prefixed(": ", first))}
	}
	var reports []*referenceReport
	if err := json.Unmarshal(out.Bytes(), &reports); err != nil {
		return nil, &cliError{err: errors.New("reference: " + referenceName + ": " + err.Error()), hint: "it has another version than cordon; run make build"}
	}
	return reports, nil
}
