// Package convert turns seccomp profiles of other programs into profiles of cordon, and back. It is pure: everything
// that depends on the machine (architecture, kernel, capabilities) is an argument.
//
// Import reads the JSON of Docker (a template with includes, excludes and archMap), of the OCI runtime specification
// (linux.seccomp, also within a whole config.json) and of Podman. It gives a file the meaning that runc gives it with
// libseccomp. Export writes these formats, systemd's SystemCallFilter= lines, and a Kubernetes localhost profile.
//
// Both list how every rule was converted: exact, approximated or dropped, with the reason. An exact rule decides every
// call as before. For an approximated rule the list says whether the rule became tighter or wider.
package convert
