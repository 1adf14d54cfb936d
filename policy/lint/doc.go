// Package lint finds what an effective profile should not allow, what it lacks, and which parts of it have no effect.
package lint
