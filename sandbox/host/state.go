package host

const (
	ControlFile = "cordonctl" // the launcher's socket; short, as sun_path is, and no other program has a socket of this name
)
