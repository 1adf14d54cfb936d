// Package attacks runs the threat model's attacks for real.
//
// Each row of the table in rows_test.go is one attack: a program (testdata/probe) that tries it from inside, or a
// scenario that tries it on the launcher from outside. Every attack is run in a sandbox made from each shipped profile
// that claims to stop it, as root and as an ordinary user, and the test fails where it succeeds. Beside it stands the
// control: the same attack without a sandbox, where it has to succeed; an attack that cannot succeed proves nothing.
//
// What a process has is read from /proc by the test, never from the launcher's report.
//
//	go test ./tests/attacks -v -run Matrix                             the matrix: attack × profile
//	CORDON_ATTACKS_PEER=bwrap go test ./tests/attacks -v -run Matrix   the same probes under bubblewrap
//	CORDON_ATTACKS_RACES=10000 go test …                               so many launches for each attack that is a race
//
// CORDON_BIN names a binary to be attacked; without it cmd/cordon is built. An attack that this kernel has no door for
// (x32), or that takes root to prepare where a user runs the test, is "absent"; one that could not be tried for any
// other reason is "broken", and a failure.
package attacks
