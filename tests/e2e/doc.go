// Package e2e is the specification of the command: scripts in testdata, one promise each, with the real binary.
//
// The scripts run as the user who runs the tests and, if that is root, once more as an ordinary user. CORDON_BIN names
// the binary; without it the tests build cmd/cordon. With CORDON_CI=1 a missing tool or kernel feature is a failure.
//
// Beside testscript's own commands the scripts have:
//
//	code N PROGRAM ARG...   run the program; it must exit with N
//	shell SCRIPT            run the script with sh -c; it must succeed
//	quiet                   stderr must contain only lines about what this kernel's Landlock lacks
//	background NAME ARG...  start a program, wait for its first line of output
//	signal NAME SIGNAL      send the program a signal
//	ended NAME N            the program must end, with exit code N; its output is in $WORK/NAME.out and NAME.err
//
// and the conditions [root], [user] (who runs the launcher), [landlock:N] (the ABI is N or newer) and [lacks:TOOL],
// which is an error in CI. With CORDON_SLOW=10 all waits are ten times as long; $SLOW is that factor.
package e2e
