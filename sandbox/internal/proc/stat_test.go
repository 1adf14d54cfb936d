package proc

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"
)

func TestStartTime(t *testing.T) {
	fields := " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21"
	for _, name := range []string{"sh", "a b", ") R 9 9", "((", ""} {
		if st, err := ParseStat([]byte("12 (" + name + ")" + fields)); st.Start != 4711 || st.Comm != name || err != nil {
			t.Errorf("%q: %+v, %v", name, st, err)
		}
	}
	for _, text := range []string{"", "12 (sh) S 1 2", strings.Replace("12 (sh)"+fields, "4711", "-1", 1)} {
		if st, err := ParseStat([]byte(text)); err == nil {
			t.Errorf("%q: %+v", text, st)
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

func TestParseStat(t *testing.T) {
	const rest = " S 1 1 1 0 -1 4194560 100 0 0 0 7 3 0 0 20 0 2 0 1234567 8192 25 18446744073709551615 1 1 0"
	for _, tt := range []struct {
		text, comm string
		ok         bool
	}{
		{"42 (sh)" + rest, "sh", true},
		{"42 (a) R 1 (b)" + rest, "a) R 1 (b", true},
		{"42 ()" + rest, "", true},
		{"42 sh" + rest, "", false},
		{"42 (sh) S 1", "", false},
		{"42 )sh(" + rest, "", false},
		{"42 (sh)" + strings.Replace(rest, "1234567", "x", 1), "", false},
		{"", "", false},
	} {
		st, err := ParseStat([]byte(tt.text))
		if (err == nil) != tt.ok {
			t.Errorf("%q: %v", tt.text, err)
		}
		if tt.ok && (st.Comm != tt.comm || st.State != "S" || st.PPID != 1 || st.User != 70*time.Millisecond || st.System != 30*time.Millisecond || st.Threads != 2 || st.Start != 1234567 || st.RSS != 25) {
			t.Errorf("%q: %+v", tt.text, st)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("42 (a) b) S 1 1 1 0 -1 4194560 100 0 0 0 7 3 0 0 20 0 2 0 1234567 8192 25 1 1 1 0"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if st, err := ParseStat(b); err == nil && !strings.Contains(string(b), "("+st.Comm+")") {
			t.Errorf("%q: %+v", b, st)
		}
	})
}
