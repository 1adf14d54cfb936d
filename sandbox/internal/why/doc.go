// Package why answers which layer decides on an access, and what would allow it.
package why
