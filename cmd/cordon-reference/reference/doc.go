// Package reference compares the filters of package policy/filter with libseccomp's. It gives the same rules to both
// and exports libseccomp's program. Then it runs both programs in our simulator. They must decide every call alike.
//
// The package reads the conditions a second time, and differently from the compiler: go/parser reads them, and the
// result is a binary decision diagram over the bits of the registers (expr.go, bdd.go). A diagram's paths are disjoint
// sets of masked values. libseccomp can compare masked values, whatever the condition was (rules.go). If the two
// programs differ because libseccomp does not know a call, the diagram says what is right.
//
// The files that link libseccomp have the build tag libseccomp, and need cgo. The package exports libseccomp's filters
// and never loads them, because loading sets TSYNC, which would filter every thread of the process.
package reference
