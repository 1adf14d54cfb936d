package host

const (
	ControlFile = "cordonctl" // a launcher's socket; short, because sun_path is short; no other program uses this name
)
