package hosts

const preamble = `# Restricted hosts

This page lists hosts that deny cordon something, and says what ` + "`cordon run -p default`" + ` does there.
` + "`make hosts`" + ` starts cordon for each row, as root and as an ordinary user, in a process that really has the restriction,
and writes this page.

- **full**: the program runs, every layer (a mechanism of the kernel, such as mounts or seccomp) is in force, and the
  report says so.
- **full by a way on**: the host refuses the usual method, and cordon uses a second method, which is no weaker. The
  report (` + "`ways_on`" + `) and ` + "`-v`" + ` name this method.
- **starts, and names what is missing**: the program runs without a layer, because the profile permits that this layer
  is missing. stderr and the report name the layer.
- **refused**: the exit code is 125, and no program has run. The error names the layer and the cause, and the hint names
  the remedy for this host.
- **the program cannot be executed**: the exit code is 126. The hint says what is wrong with the program's file.

` + "`cordon doctor`" + ` names the same causes before you run anything.
`
