// Package e2e is the specification of the command: scripts in testdata, one promise each, over the real binary.
//
// They run as the one who runs the test and, if that is root, once more as an ordinary user. CORDON_BIN names the
// binary; without it cmd/cordon is built. With CORDON_CI=1 a tool or a kernel feature that is missing is a failure.
//
// Beside testscript's own commands the scripts have:
//
//	code N PROGRAM ARG...   run it; it has to exit with N
//	shell SCRIPT            run it with sh -c; it has to succeed
//	quiet                   stderr has nothing but what this kernel's Landlock lacks
//	background NAME ARG...  start a program, wait for its first line of output
//	signal NAME SIGNAL      send it a signal
//	ended NAME N            it has to end, with exit code N; its output is in $WORK/NAME.out and NAME.err
//
// and the conditions [root], [user] (who runs the launcher), [landlock:N] (the ABI is N or newer) and
// [lacks:TOOL], which in CI is an error. CORDON_SLOW=10 has everything wait ten times as long; $SLOW is that factor.
package e2e
