package user

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"cordon/profiles"
	"cordon/sandbox"
	"cordon/sandbox/statedir"
)

// Other processes can find a sandbox that has an entry in a state directory, as cordon ps does. They can start programs
// in it and end it. This process is the sandbox's launcher, so the sandbox ends with this process.
func Example_detached() {
	own, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(own)
	path := filepath.Join(own, "state") // cordon itself uses host.StatePath(os.Getenv)
	profile, err := profiles.Load()
	if err != nil {
		log.Fatal(err)
	}
	dir, err := statedir.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer dir.Close()
	service := sandbox.Command(profile, "sh", "-c", "echo 42 >/tmp/answer; exec sleep 100")
	if service.State, err = dir.Create(statedir.State{Name: "service", Profile: profile.Name, Args: service.Args}); err != nil {
		log.Fatal(err)
	}
	defer service.State.Close()
	if err := service.Start(); err != nil {
		log.Fatal(err)
	}
	anotherProcess(path)
	fmt.Println(service.Wait())
	if err := service.State.Discard(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// running
	// 42
	// signal: terminated
}

// anotherProcess does what another process could do: it knows only the directory and the name.
func anotherProcess(path string) {
	dir, err := statedir.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer dir.Close()
	entry, err := dir.Find("service")
	if err != nil {
		log.Fatal(err)
	}
	defer entry.Close()
	fmt.Println(entry.Status())

	into, err := entry.Attach()
	if err != nil {
		log.Fatal(err)
	}
	defer into.Close()
	cmd := sandbox.Command(nil, "sh", "-c", "until cat /tmp/answer 2>/dev/null; do sleep 0.01; done")
	cmd.Into, cmd.Stdout = into, os.Stdout
	if err := cmd.Run(); err != nil {
		log.Fatal(err)
	}
	if err := entry.Signal(15); err != nil {
		log.Fatal(err)
	}
}

// To start a second program in its own sandbox, a process needs no state directory.
func Example_exec() {
	profile, err := profiles.Load()
	if err != nil {
		log.Fatal(err)
	}
	box := sandbox.Command(profile, "sleep", "100")
	box.Attachable = true
	if err := box.Start(); err != nil {
		log.Fatal(err)
	}
	defer func() { _ = box.Wait() }()
	defer func() { _ = box.Process.Kill() }()
	into, err := box.Attach()
	if err != nil {
		log.Fatal(err)
	}
	defer into.Close()
	cmd := sandbox.Command(nil, "ps", "-o", "args=", "-p", "2")
	cmd.Into = into
	out, err := cmd.Output()
	fmt.Printf("%s%v\n", out, err)
	// Output:
	// sleep 100
	// <nil>
}
