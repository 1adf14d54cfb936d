//go:build cgo && libseccomp

// Command cordon-reference compares a seccomp filter of cordon with the filter that libseccomp makes from the same
// rules. `cordon profile check --reference` runs it. It is a separate program because cordon links no C.
//
// It reads a request as JSON on stdin, {"spec": …, "arch": "amd64"}, and prints reports as JSON: one for each
// architecture of the filter, the requested one first, at each of libseccomp's two levels of optimization.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"cordon/cmd/cordon-reference/reference"
	"cordon/policy/filter"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var q reference.Request
	d := json.NewDecoder(os.Stdin)
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil {
		return fmt.Errorf("request: %w", err)
	}
	arch, ok := filter.ParseArch(q.Arch)
	if !ok {
		return errors.New("request: no architecture " + q.Arch)
	}
	var reports []*reference.Report
	for _, native := range append([]filter.Arch{arch}, filter.AMD64, filter.ARM64, filter.RISCV64) {
		if len(reports) > 0 && native == arch {
			continue
		}
		spec := q.Spec
		spec.Foreign = reference.Foreign(native, q.Spec.Foreign)
		for optimize := 1; optimize <= 2; optimize++ {
			r, err := reference.Compare(spec, native, optimize, 1)
			var rules filter.Errors
			switch {
			case errors.As(err, &rules) && native != arch: // for example, a constant exists only on the requested architecture
				r = reference.Skipped(native, optimize, err)
			case err != nil:
				return err
			}
			reports = append(reports, r)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(reports)
}
