// Package lint looks for what an effective profile allows and should not, for what has no effect in it, and for what it lacks.
package lint
