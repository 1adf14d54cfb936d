package host

const (
	ControlFile = "control" // the launcher's socket
)
