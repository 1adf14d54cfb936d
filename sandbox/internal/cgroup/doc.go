// Package cgroup puts a sandbox into control groups of its own: cgroups(7), Documentation/admin-guide/cgroup-v2.rst and
// cgroup-v1/ of the kernel. It is the only importer of github.com/opencontainers/cgroups.
//
// Read looks at the machine. Choose decides where the groups go, and what is written into them. Both only read, through
// the Files that the caller passes. Make creates the groups and returns a Group. After the run a Place remains: plain
// data by which a process finds the groups again, for statistics, for freezing and killing, and to clean up later.
//
// There are three layouts. v2 has one tree with every controller, and the child starts in its group, by clone3(2) with
// CLONE_INTO_CGROUP (Linux 5.7). v1 has a tree for each controller, and the child joins its groups before it does
// anything else. In a hybrid layout some controllers are in v1 trees and the others in a v2 tree. The package looks for
// each controller in that controller's own tree, so a hybrid layout needs no special case.
package cgroup
