package host

const (
	ControlFile = "cordon-control" // the launcher's socket; no other program has a socket of this name
)
