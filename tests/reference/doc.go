// Package reference holds the filters of package policy/filter against libseccomp's: the same rules are given to both,
// libseccomp's program is exported, and both run in our simulator. They must decide every call alike.
//
// The rules go there in two ways: as what libseccomp's own language can say, in its words (Docker's profile and the
// like), and as anything that ours can say, by package cmd/cordon-reference/reference.
//
// The tests need cgo, libseccomp's headers and the build tag libseccomp:
//
//	go test -tags libseccomp ./tests/reference
//
// libseccomp's filters are exported, never loaded: loading sets TSYNC, which would filter every thread of the test.
package reference
