package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"cordon/sandbox/ledger"
)

// These are the goals for figures that do not depend on the machine's speed, and for a launch in a large tree.
const (
	maxSearch    = 1.2      // profile agent in a large tree, as a multiple of find
	maxAgain     = 0.3      // the same, if the tree has not changed since an earlier run
	maxSize      = 10 << 20 // bytes
	maxCallsRoot = 800
	maxCallsUser = 1050
)

// The tree that is searched has this many names. Each directory has ten names; ten directories make a larger one.
const treeNames = 250_000

// makeTree makes the tree that is searched.
func makeTree(dir string, names int) error {
	for n := 0; n < names; n += 100 {
		for i := range 10 {
			at := filepath.Join(dir, fmt.Sprint("package", n/5000), fmt.Sprint("part", n/100%50), fmt.Sprint("directory", i))
			if err := os.MkdirAll(at, 0o755); err != nil {
				return err
			}
			for j := range 9 {
				if err := os.WriteFile(filepath.Join(at, fmt.Sprint("file", j, ".js")), nil, 0o644); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// search measures profile agent in a large tree, and find in the same tree.
func (f *figures) search(dir string, e effort) error {
	tree := filepath.Join(os.Getenv("HOME"), "tree")
	work, err := os.Getwd()
	if err = errors.Join(err, makeTree(tree, e.Tree), os.Chdir(tree)); err != nil {
		return err
	}
	defer os.RemoveAll(tree)
	defer os.Chdir(work)        //nolint:errcheck // the next measurement reports it
	time.Sleep(3 * time.Second) // changes of the last two seconds are not remembered
	agent := row{command: copyDir + "/cordon run -p agent -- /bin/true"}
	first := agent
	first.fresh = true
	all := figures{Rows: []row{first, {command: "find . -name .env"}, agent}}
	if err := all.turns(dir, e.Searches); err != nil {
		return err
	}
	f.Search, f.Find, f.Again = all.Rows[0], all.Rows[1], all.Rows[2]
	return nil
}

// forget removes what searches of the current user have stored.
func forget() error {
	for _, p := range ledger.Places(os.Getenv) {
		if err := os.RemoveAll(p.MemoryPath()); err != nil {
			return err
		}
	}
	return nil
}

// calls counts the system calls of a launch, and measures the size of the binary.
func (f *figures) calls(dir string) error {
	cordon := filepath.Join(dir, "cordon")
	info, err := os.Stat(cordon)
	if err != nil {
		return err
	}
	f.Size = info.Size()
	out := filepath.Join(os.Getenv("HOME"), "strace")
	if text, err := exec.Command("strace", "-f", "-c", "-o", out, cordon, "run", "--", "/bin/true").CombinedOutput(); err != nil {
		f.LeftOut = append(f.LeftOut, "system calls, by strace: "+err.Error()+" "+strings.TrimSpace(string(text)))
		return nil
	}
	text, err := os.ReadFile(out)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		// 100.00    0.021153          22       960       146 total
		if words := strings.Fields(line); len(words) > 4 && words[len(words)-1] == "total" {
			f.Calls, err = strconv.Atoi(words[3])
		}
	}
	return err
}

func (f *figures) leanChecks() []check {
	list := []check{{"size of the binary", float64(f.Size), maxSize, megabytes}}
	if f.Calls > 0 {
		most := maxCallsUser
		if f.UID == 0 {
			most = maxCallsRoot
		}
		list = append(list, check{"system calls of a launch", float64(f.Calls), float64(most), count})
	}
	if len(f.Search.Times) > 0 {
		list = append(list, check{"agent in a tree of 250,000 names, against find", pairs(f.Search.Times, f.Find.Times).median, maxSearch, ratio},
			check{"the same again, nothing changed, against find", pairs(f.Again.Times, f.Find.Times).median, maxAgain, ratio})
	}
	return list
}

func megabytes(x float64) string { return fmt.Sprintf("%.1f MB", x/(1<<20)) }

func (f *figures) formatSearch(b *strings.Builder) {
	if len(f.Search.Times) == 0 {
		return
	}
	fmt.Fprintf(b, "\nagent again, in a tree of 250,000 names that has not changed, takes %s of find's time, and %s of its processor time.\n",
		pairs(f.Again.Times, f.Find.Times), pairs(f.Again.CPU, f.Find.CPU))
	fmt.Fprintf(b, "\nagent in a tree of 250,000 names takes %s of find's time, and %s of its processor time: %s and %s.\n",
		pairs(f.Search.Times, f.Find.Times), pairs(f.Search.CPU, f.Find.CPU), seconds(f.Search.median()), seconds(f.Find.median()))
}
