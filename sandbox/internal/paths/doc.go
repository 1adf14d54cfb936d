// Package paths splits and joins clean absolute paths, as text.
package paths
