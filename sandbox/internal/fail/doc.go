// Package fail holds the error types of a sandbox, and functions that build error texts.
package fail
