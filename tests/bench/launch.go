package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// figures holds the measurements of one user.
type figures struct {
	UID     int
	Rows    []row    // the first row is cordon's
	LeftOut []string // the peers that are not installed or do not run here, and why
	Compile time.Duration
	Size    int64 // the size of the binary, in bytes
	Calls   int   // system calls of a launch; 0 if they could not be counted
	Search  row   // profile agent in a large tree
	Again   row   // profile agent in a large tree that has not changed since an earlier run
	Find    row   // find in the same tree
	Binds   []bindTime
	Memory  []processMemory

	Reported, Silent callCost // the time of calls, with and without reports of denied calls
	Bombs            []bombCost
}

// A row measures one way to start /bin/true.
type row struct {
	Name    string
	Times   []float64 // the time of each turn, in seconds
	CPU     []float64 // the processor time of each turn, in seconds
	command string    // "" for the library
	shift   int       // how many copies after those of the other rows
	must    bool      // without this row the comparison is useless
	fresh   bool      // earlier searches are forgotten
}

// These are the names of the rows that the ratios use.
const (
	nameCordon  = "cordon run, profile default"
	nameLibrary = "sandbox.Cmd in a warm Go process"
	nameBubble  = "bubblewrap, same namespaces and mounts, no filter"
	namePlain   = "bubblewrap, same namespaces, fewest mounts, no filter"
	nameFloor   = "floor.c"
	nameAgain   = "cordon run, profile default, another copy"
	nameGroups  = "cordon run, --memory 64MiB --pids 64"
)

// These are the paths that the default profile empties, hides and masks, if they exist on the host. floor.c does the
// same.
var (
	emptied = []string{"/run", "/tmp", "/var/tmp", "/mnt", "/media", "/srv", "/home", "/root"}
	hidden  = []string{"/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/var/mail"}
	masked  = []string{"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/locks", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats"}
)

// bubblewrap returns a command that makes the same namespaces, and the mounts that nobody would omit.
func bubblewrap(cover []string) string {
	home, cwd := os.Getenv("HOME"), filepath.Join(os.Getenv("HOME"), "work")
	words := []string{copyDir + "/bwrap", "--unshare-user", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL",
		"--hostname", "cordon", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"}
	words = append(words, cover...)
	words = append(words, "--tmpfs", home, "--ro-bind", cwd, cwd, "--chdir", cwd)
	return strings.Join(words, " ")
}

// covers returns bubblewrap's flags for the remaining mounts.
func covers() []string {
	var words []string
	for _, path := range slices.Concat(emptied, hidden, masked) {
		info, err := os.Stat(path)
		switch {
		case err != nil: // the host does not have the path
		case info.IsDir():
			words = append(words, "--tmpfs", path)
		default:
			words = append(words, "--ro-bind", "/dev/null", path)
		}
	}
	return words
}

func commands(dir, sandbox string) []row {
	home := os.Getenv("HOME")
	rows := []row{
		{Name: nameCordon, command: copyDir + "/cordon run -- /bin/true", must: true},
		{Name: nameLibrary, must: true},
		{Name: nameAgain, command: copyDir + "/cordon run -- /bin/true", shift: 1, must: true},
		{Name: nameSilent, command: copyDir + "/cordon run --on-denial silent -- /bin/true", must: true},
		{Name: nameGroups, command: copyDir + "/cordon run --memory 64MiB --pids 64 -- /bin/true"},
		{Name: nameJoined, command: copyDir + "/cordon exec " + sandbox + " -- /bin/true", must: true},
		{Name: nameBubble, command: bubblewrap(covers()) + " -- /bin/true", must: true},
		{Name: namePlain, command: bubblewrap([]string{"--tmpfs", "/tmp"}) + " -- /bin/true", must: true},
		{Name: nameFloor, command: copyDir + "/floor /bin/true", must: true},
		{Name: "runc, its own default", command: "runc --root " + home + "/runc run -b " + bundle(home) + " cordon-bench"},
		{Name: "firejail, no profile, no network", command: "firejail --quiet --noprofile --net=none -- /bin/true"},
		{Name: "/bin/true alone", command: "/bin/true", must: true},
	}
	return append(rows, importedRows(dir)...)
}

// launches runs every command, and launches by the library, in turns.
func (f *figures) launches(dir string, e effort) error {
	sandbox, end, err := joined(dir)
	if err != nil {
		return err
	}
	defer end()
	for _, r := range commands(dir, sandbox) {
		why := ""
		if r.command != "" {
			why = try(r.words(dir, 0))
		}
		switch {
		case why == "":
			f.Rows = append(f.Rows, r)
		case r.must:
			return fmt.Errorf("%s: %s", r.command, why)
		default:
			f.LeftOut = append(f.LeftOut, r.Name+": "+why)
		}
	}
	return f.turns(dir, e.Turns)
}

// try runs a command once and says what is wrong with it, or returns "".
func try(words []string) string {
	if _, err := exec.LookPath(words[0]); err != nil {
		return "not installed"
	}
	out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	if err == nil {
		return ""
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return err.Error() + ": " + first
}

// bundle makes an OCI bundle: runc's default configuration, on an empty root into which the host's programs are
// bound. If the bundle is wrong, the trial run says so.
func bundle(home string) string {
	dir := filepath.Join(home, "bundle")
	if os.MkdirAll(filepath.Join(dir, "rootfs"), 0o755) != nil {
		return dir
	}
	args := []string{"spec", "-b", dir}
	if os.Getuid() != 0 {
		args = append(args, "--rootless")
	}
	_ = exec.Command("runc", args...).Run()
	path := filepath.Join(dir, "config.json")
	text, _ := os.ReadFile(path)
	var spec map[string]any
	if json.Unmarshal(text, &spec) != nil {
		return dir
	}
	process, _ := spec["process"].(map[string]any)
	process["terminal"], process["args"] = false, []string{"/bin/true"}
	mounts, _ := spec["mounts"].([]any)
	mounts = slices.DeleteFunc(mounts, func(m any) bool { return m.(map[string]any)["destination"] == "/sys/fs/cgroup" })
	for _, tree := range []string{"/bin", "/lib", "/lib64", "/usr"} {
		if _, err := os.Stat(tree); err == nil {
			mounts = append(mounts, map[string]any{"type": "bind", "source": tree, "destination": tree, "options": []string{"rbind", "ro"}})
		}
	}
	spec["mounts"] = mounts
	text, _ = json.Marshal(spec)
	_ = os.WriteFile(path, text, 0o644)
	return dir
}
