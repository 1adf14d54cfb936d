// Package attacks runs the threat model's attacks for real.
//
// Each row of the table in rows_test.go is one attack: a program (testdata/probe) that tries it from inside, or a
// scenario that tries it on the launcher from outside. Every attack runs in a sandbox from each shipped profile that
// claims to stop it, as root and as an ordinary user. The test fails if the attack succeeds. Each attack also has a
// control: the same attack runs without a sandbox, where it must succeed. An attack that cannot succeed proves nothing.
//
// The tests read from /proc what a process has, and never from the launcher's report.
//
//	go test ./tests/attacks -v -run Matrix                             the matrix: attack × profile
//	CORDON_ATTACKS_PEER=bwrap go test ./tests/attacks -v -run Matrix   the same probes under bubblewrap
//	CORDON_ATTACKS_RACES=10000 go test …                               so many launches for each attack that is a race
//
// CORDON_BIN names the binary to attack; without it the tests build cmd/cordon. An attack is "absent" if this kernel
// does not have the attacked feature (such as x32), or if only root can prepare the attack and a user runs the test. An
// attack that could not be tried for any other reason is "broken", which is a failure.
package attacks
