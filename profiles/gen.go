//go:build ignore

// This program writes the files that are generated from the shipped profiles and the language. It runs in the
// directory profiles.
package main

import (
	"log"
	"os"

	"cordon/profiles/internal/gen"
)

func main() {
	log.SetFlags(0)
	write("compiled.go", func([]byte) ([]byte, error) { return gen.Compiled(".") })
	write("filters.go", func([]byte) ([]byte, error) { return gen.Filters(".") })
	write("../policy/schema.json", func([]byte) ([]byte, error) { return gen.Schema() })
	write("../docs/profile.md", gen.Reference)
}

func write(file string, make func(old []byte) ([]byte, error)) {
	old, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		log.Fatal(err)
	}
	data, err := make(old)
	if err != nil {
		log.Fatalf("%s: %v", file, err)
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		log.Fatal(err)
	}
}
