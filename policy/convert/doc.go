// Package convert turns seccomp profiles of other programs into profiles of ours, and ours into theirs. It is pure: what
// depends on the machine (architecture, kernel, capabilities) is an argument.
//
// Import reads the JSON of Docker (template with includes, excludes and archMap), of the OCI runtime specification
// (linux.seccomp, also within a whole config.json) and of Podman. What it means is what runc makes of it by libseccomp.
// Export writes these, systemd's SystemCallFilter= lines, and a Kubernetes localhost profile.
//
// Both list what became of every rule: exact, approximated and how, or dropped. What a listing calls exact decides every
// call alike; an approximation says whether it became tighter or wider.
package convert
