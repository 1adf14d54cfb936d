// Package reference holds the filters of package policy/filter against libseccomp's: the same rules are given to both,
// libseccomp's program is exported, and both run in our simulator. They must decide every call alike.
//
// The conditions are read here a second time, and in another way than the compiler reads them: by go/parser, into
// binary decision diagrams over the bits of the registers (expr.go, bdd.go). A diagram's paths are disjoint sets of
// masked values, which is what libseccomp can compare, whatever the condition was (rules.go). It also says what is right
// where the two programs differ because libseccomp does not know a call.
//
// What links libseccomp is behind the build tag libseccomp, and needs cgo. libseccomp's filters are exported, never
// loaded: loading sets TSYNC, which would filter every thread of the process.
package reference
