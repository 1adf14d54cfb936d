// Command vm runs programs in a virtual machine with one of Debian's kernels, emulated: it needs no /dev/kvm.
//
//	vm [--kernel 6.1|6.12] [--user] [--timeout 10m] -- PROGRAM ARG...
//	vm suite [--kernel 6.1|6.12] [--run REGEXP] [--as root|user] [--short] [NAME...]
//
// The machine's root file system is made of this machine's packages; /cordon is a copy of the checkout with bin. It has
// cgroup v2 with every controller, swap, huge pages and no network. What is written in it is thrown away at the end.
//
// The same program is the machine's init (guest.go). What the machine is to do is a list of jobs in its initramfs;
// their output comes over one virtio port, how it ended over another.
package main
