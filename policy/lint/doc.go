// Package lint finds what an effective profile should not allow, what it lacks, and what has no effect in it.
package lint
