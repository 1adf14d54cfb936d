// Package why says which layer of the sandbox decides about an access, and which change would allow the access.
package why
