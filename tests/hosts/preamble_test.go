package hosts

const preamble = `# Restricted hosts

What ` + "`cordon run -p default`" + ` comes to where something is taken away from it. ` + "`make hosts`" + ` tries each row as root and as
an ordinary user, on a real restricted process, and writes this page.

- **full**: it starts, every layer is in force, and the report says so.
- **full by a way on**: the host refuses the usual way, and another one leads to the same end. It is no weaker; the
  report (` + "`ways_on`" + `) and ` + "`-v`" + ` name it.
- **starts, and names what is missing**: the profile allows that layer to be missing, and stderr and the report name it.
- **refused**: exit code 125; the error names the layer and the cause, the hint the remedy for this host. Nothing has
  run.

` + "`cordon doctor`" + ` tells the same causes before anything is run.
`
