// Package sandboxtest has what the tests of several packages share: hosts as data, profiles, and helpers that look at
// the test's own process.
package sandboxtest
