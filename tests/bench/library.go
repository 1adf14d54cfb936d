package main

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"cordon/policy"
	"cordon/profiles"
	"cordon/sandbox"
	"cordon/sandbox/host"
)

// shipped are the profiles that can be compiled without being told more.
var shipped = []string{"default", "strict", "build"}

var (
	// probe and profile are what a process that launches often keeps.
	probe   = sync.OnceValues(host.Probe)
	profile = sync.OnceValues(func() (*policy.Profile, error) { return loadProfile(profiles.DefaultName) })
)

func loadProfile(name string) (*policy.Profile, error) {
	return profiles.DefaultSearch(os.Getenv).Load([]string{name}, nil)
}

// launch starts /bin/true by the library and waits for its end.
func launch() (time.Duration, error) {
	p, err := profile()
	if err != nil {
		return 0, err
	}
	h, err := probe()
	if err != nil {
		return 0, err
	}
	start := time.Now()
	cmd := &sandbox.Cmd{Profile: p, Args: []string{"/bin/true"}, Host: h}
	err = cmd.Run()
	return time.Since(start), err
}

// loadAndCompile goes from a name to a finished plan.
func loadAndCompile(name string) error {
	p, err := loadProfile(name)
	if err != nil {
		return err
	}
	h, err := probe()
	if err != nil {
		return err
	}
	_, err = sandbox.Compile(p, h, &sandbox.Cmd{Profile: p, Args: []string{"/bin/true"}, Host: h})
	return err
}

// compile measures the slowest of the shipped profiles.
func (f *figures) compile() error {
	for _, name := range shipped {
		if err := loadAndCompile(name); err != nil {
			return fmt.Errorf("profile %s: %w", name, err)
		}
		r := testing.Benchmark(func(b *testing.B) {
			for b.Loop() {
				_ = loadAndCompile(name)
			}
		})
		f.Compile = max(f.Compile, time.Duration(r.NsPerOp()))
	}
	return nil
}
