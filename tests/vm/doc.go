// Command vm runs programs in a virtual machine with one of Debian's kernels. The machine is emulated, so it needs no
// /dev/kvm.
//
//	vm [--kernel 6.1|6.12] [--user] [--timeout 10m] -- PROGRAM ARG...
//	vm suite [--kernel 6.1|6.12] [--run REGEXP] [--as root|user] [--short] [NAME...]
//
// The machine's root file system is made from packages that are installed on this machine; /cordon is a copy of the
// checkout, including bin. The machine has cgroup v2 with every controller, swap, huge pages and no network.
// Everything that it writes is thrown away at the end.
//
// The same program is the machine's init (guest.go). The initramfs contains a list of jobs for the machine. Their
// output comes through one virtio port, and the outcome through another.
package main
