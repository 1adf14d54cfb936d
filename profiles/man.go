//go:build ignore

// This program writes the manual page cordon-profile(5) to a file. Its arguments are the file, the version, and the
// date in seconds since 1970.
package main

import (
	"log"
	"os"
	"strconv"
	"time"

	"cordon/profiles/internal/gen"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 4 {
		log.Fatal("usage: man FILE VERSION DATE")
	}
	seconds, err := strconv.ParseInt(os.Args[3], 10, 64)
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(os.Args[1], gen.Manual("cordon "+os.Args[2], time.Unix(seconds, 0)), 0o644); err != nil {
		log.Fatal(err)
	}
}
