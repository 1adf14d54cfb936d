// Package sandboxtest is what the tests of several packages need: hosts as data, profiles, and a look at this process.
package sandboxtest
