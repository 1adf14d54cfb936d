// Package paths takes clean absolute paths apart and puts them together, as text.
package paths
