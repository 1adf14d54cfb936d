// Package cgroup puts a sandbox into control groups of its own: cgroups(7), Documentation/admin-guide/cgroup-v2.rst and
// cgroup-v1/ of the kernel. It is the only importer of github.com/opencontainers/cgroups.
//
// Read looks at the machine, Choose decides from what it saw where the groups go and what is written into them; both
// only read, through the Files they are given. Make does it, and gives a Group. What remains after that is a Place: plain
// data that finds the groups again, for statistics, for freezing and killing, and for a later process that cleans up.
//
// The layouts are v2 (one tree with every controller, born into with clone3(2), CLONE_INTO_CGROUP, Linux 5.7), v1 (a tree
// for each controller, joined by the child as the first thing it does) and hybrid, where some controllers are in v1 trees
// and the others in a v2 tree beside. Each controller is looked for where it is, so hybrid is nothing special.
package cgroup
