// Package reference compares the filters of package policy/filter with libseccomp's. Both get the same rules. The tests
// export libseccomp's program, and run both programs in our simulator. They must decide every call alike.
//
// The rules reach libseccomp in two ways. Rules that libseccomp's own language can express (Docker's profile, for
// example) are written in that language. For all other rules, package cmd/cordon-reference/reference converts them.
//
// The tests need cgo, libseccomp's headers and the build tag libseccomp:
//
//	go test -tags libseccomp ./tests/reference
//
// The tests never load libseccomp's filters, because loading sets TSYNC, which would filter every thread of the test.
package reference
