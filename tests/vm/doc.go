// Command vm runs programs in a virtual machine with one of Debian's kernels, emulated: it needs no /dev/kvm.
//
//	vm [--kernel 6.1|6.12] [--user] [--timeout 10m] -- PROGRAM ARG...
//	vm [--kernel …] [--run REGEXP] suite [NAME...]
//	vm fetch
//
// The machine sees the files of this one, read-only below a layer of its own that is thrown away at the end, so every
// program of this machine is there, at its path; /cordon is the checkout. /tmp, /var/tmp and the homes are on a disk of
// its own. It has cgroup v2 with every controller, swap, huge pages and no network.
//
// The same program is the machine's init (guest.go). What the machine is to do is a list of jobs in its initramfs;
// their output comes over one port, their exit status over another. It needs root: virtiofsd, which hands over the
// files, does.
package main
