// Package hosts starts sandboxes on hosts that take something away: containers, filters, masked files, few
// capabilities.
//
// Each row of the table is a host, made of a real restricted process. Root and an ordinary user start a sandbox there.
// The test compares the result with what the row expects. `make hosts` writes the same table to docs/hosts.md.
package hosts
