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

// shipped lists the shipped profiles that can be compiled without further settings.
var shipped = []string{"default", "strict", "build"}

var (
	// A process that launches often would keep the results of Probe and of Load.
	probe   = sync.OnceValues(host.Probe)
	profile = sync.OnceValues(func() (*policy.Profile, error) { return loadProfile(profiles.DefaultName) })
)

func loadProfile(name string) (*policy.Profile, error) {
	return profiles.DefaultSearch(os.Getenv).Load([]string{name}, nil)
}

// launch starts /bin/true with the library, waits until it ends, and returns the time.
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

// loadAndCompile loads a profile by its name and compiles it to a plan.
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

// compile measures the shipped profiles, and keeps the time of the slowest.
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
