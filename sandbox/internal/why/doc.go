// Package why says which layer decides about an access, and what would allow the access.
package why
