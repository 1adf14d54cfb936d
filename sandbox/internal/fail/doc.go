// Package fail holds the errors of a sandbox, and the functions that build their texts.
package fail
