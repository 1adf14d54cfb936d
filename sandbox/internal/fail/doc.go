// Package fail holds the errors of a sandbox and the small parts that they are made of.
package fail
