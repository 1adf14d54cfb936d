package host

const (
	ControlFile = "cordonctl" // a launcher's socket; short, because sun_path is, and used by no other program
)
