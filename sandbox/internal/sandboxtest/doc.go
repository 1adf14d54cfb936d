// Package sandboxtest contains what the tests of several packages share: hosts as data, profiles, and functions that
// examine the test's own process.
package sandboxtest
