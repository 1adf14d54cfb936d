// Package reference compares the filters of package policy/filter with libseccomp's. It gives both the same rules,
// exports libseccomp's program, and runs both programs in our simulator. They must decide every call alike.
//
// The package evaluates the conditions independently of the compiler: it parses them with go/parser and makes binary
// decision diagrams over the bits of the registers (expr.go, bdd.go). The paths of a diagram are disjoint sets of
// masked values. libseccomp can compare masked values, whatever form the condition had (rules.go). If the two programs
// differ because libseccomp lacks a call, the diagram says which program is right.
//
// The files that link libseccomp have the build tag libseccomp, and need cgo. The package exports libseccomp's filters
// and never loads them, because loading sets TSYNC, which would filter every thread of the process.
package reference
