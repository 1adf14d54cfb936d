package proc

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
)

func TestStartTime(t *testing.T) {
	fields := " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21"
	for _, name := range []string{"sh", "a b", ") R 9 9", "((", ""} {
		if n, err := startTime("12 (" + name + ")" + fields); n != 4711 || err != nil {
			t.Errorf("%q: %d, %v", name, n, err)
		}
	}
	for _, text := range []string{"", "12 (sh) S 1 2", strings.Replace("12 (sh)"+fields, "4711", "-1", 1)} {
		if n, err := startTime(text); err == nil {
			t.Errorf("%q: %d", text, n)
		}
	}
	own, err := StartTime("/proc/self/stat")
	again, _ := StartTime("/proc/self/task/" + taskOf(t) + "/stat")
	if err != nil || own == 0 || again < own {
		t.Errorf("own %d, thread %d, %v", own, again, err)
	}
	if _, err := StartTime("/proc/0/stat"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no process: %v", err)
	}
}

func taskOf(t *testing.T) string {
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil || len(entries) == 0 {
		t.Fatal(err)
	}
	return entries[0].Name()
}
