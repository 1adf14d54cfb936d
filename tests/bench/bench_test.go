package main

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// These benchmarks measure the same things as `make bench`, for go test -bench and its profiles (-cpuprofile,
// -memprofile).

func BenchmarkLoadAndCompile(b *testing.B) {
	for _, name := range shipped {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := loadAndCompile(name); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkLaunch(b *testing.B) {
	for b.Loop() {
		if _, err := launch(); err != nil {
			b.Fatal(err)
		}
	}
}

// TestCallTime checks that callTime does not accept an allowed call as a denied one.
func TestCallTime(t *testing.T) {
	if ns, err := callTime(100, 0, unix.SYS_GETPPID); err != nil || ns <= 0 {
		t.Errorf("getppid: %v ns, %v", ns, err)
	}
	if _, err := callTime(100, unix.EPERM, unix.SYS_GETPPID); err == nil {
		t.Error("getppid is denied")
	}
}

// TestFormatDenials checks that only the allowed call is judged, and that the other figures are only shown.
func TestFormatDenials(t *testing.T) {
	f := &figures{
		Rows:     []row{{Name: nameCordon, Times: []float64{0.0066}}, {Name: nameSilent, Times: []float64{0.006}}},
		Reported: callCost{[]float64{300, 282, 290}, []float64{9000}},
		Silent:   callCost{[]float64{264}, []float64{200}},
	}
	if c := f.denialCheck(); c.got <= c.most || c.show(c.got) != "1.10 ×" {
		t.Errorf("%s passes for %s", c.show(c.got), c.show(c.most))
	}
	var b strings.Builder
	f.formatDenials(&b)
	for _, want := range []string{
		"| reported | 6.6ms | 6.6ms | 290 ns (282 ns) | 9.00 µs (9.00 µs) |",
		"| not reported | 6ms | 6ms | 264 ns (264 ns) | 0.20 µs (0.20 µs) |",
		"| ratio | 1.10 | 1.10 | 1.10 | 45.0 |",
	} {
		if !strings.Contains(b.String(), want+"\n") {
			t.Errorf("no %s in\n%s", want, b.String())
		}
	}
}

// TestPairs checks that pairs finds a known ratio, and an interval that contains it.
func TestPairs(t *testing.T) {
	var a, b []float64
	for i := range 200 {
		slow := 1 + float64(i%7) // a slow turn slows both down
		a, b = append(a, slow*(1.2+0.01*float64(i%5-2))), append(b, slow)
	}
	x := pairs(a, b)
	if x.median < 1.19 || x.median > 1.21 || x.low > x.median || x.high < x.median || x.high-x.low > 0.02 {
		t.Error(x)
	}
	if again := pairs(a, b); again != x {
		t.Error("another interval of the same figures:", again, x)
	}
	if x := pairs(nil, nil); x != (interval{}) {
		t.Error(x)
	}
	if m := median([]float64{3, 1, 2, 10}); m != 2.5 {
		t.Error(m)
	}
}

// TestOnce checks that the processor time includes that of processes that a command leaves behind.
func TestOnce(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	const busy = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"
	direct, err := once([]string{"/bin/sh", "-c", busy})
	if err != nil {
		t.Fatal(err)
	}
	if direct.cpu <= 0 || direct.wall <= 0 {
		t.Error(direct)
	}
	if _, err := once([]string{"/bin/sh", "-c", "exit 3"}); err == nil {
		t.Error("a command that fails passes")
	}
}

// TestCopies checks that all copies are equal.
func TestCopies(t *testing.T) {
	dir := t.TempDir()
	if err := makeCopies(dir, map[string]string{"true": "/bin/true"}); err != nil {
		t.Fatal(err)
	}
	r := row{command: copyDir + "/true x"}
	seen := map[string]bool{}
	for turn := range 2 * copies {
		words := r.words(dir, turn)
		if _, err := once(words); err != nil {
			t.Fatal(err)
		}
		seen[words[0]] = true
	}
	if len(seen) != copies {
		t.Error(seen)
	}
}
