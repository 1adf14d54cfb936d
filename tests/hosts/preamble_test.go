package hosts

const preamble = `# Restricted hosts

This page lists hosts that deny cordon something, and says what ` + "`cordon run -p default`" + ` does there.
` + "`make hosts`" + ` starts each row as root and as an ordinary user, in a real restricted
process, and writes this page.

- **full**: the program runs, every layer is in force, and the report says so.
- **full by a way on**: the host refuses the usual way, and cordon takes another one, which is no weaker. The report
  (` + "`ways_on`" + `) and ` + "`-v`" + ` name it.
- **starts, and names what is missing**: the program runs without a layer that the profile allows to be missing. stderr
  and the report name the layer.
- **refused**: the exit code is 125, and no program has run. The error names the layer and the cause, and the hint names
  the remedy for this host.
- **the program cannot be executed**: the exit code is 126. The hint names what is wrong with the program's file.

` + "`cordon doctor`" + ` names the same causes before you run anything.
`
