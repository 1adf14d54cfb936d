package e2e

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// manyName is the name under which this binary starts 64 goroutines. Each of them makes 100 denied calls. After the
// first, the program prints up. An argument changes its behaviour: forever makes calls without end; catch handles
// SIGINT; hang keeps running when all calls are done, and after SIGTERM.
const manyName = "many"

func isMany() bool { return filepath.Base(os.Args[0]) == manyName }

func many() int {
	var wrong atomic.Int32
	told := func(word string) bool { return slices.Contains(os.Args[1:], word) }
	if told("catch") {
		c := make(chan os.Signal, 1)
		signal.Notify(c, unix.SIGINT)
		go func() {
			fmt.Printf("%v, wrong %d\n", <-c, wrong.Load())
			os.Exit(7)
		}()
	}
	if told("hang") {
		signal.Ignore(unix.SIGTERM)
	}
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			for n := 0; n < 100 || told("forever"); n++ {
				if err := tryDenied(i%2 == 0); err != deniedAs[i%2] {
					wrong.Add(1)
				}
				if i == 0 && n == 0 {
					fmt.Println("up")
				}
			}
		})
	}
	all.Wait()
	fmt.Println("wrong", wrong.Load())
	if told("hang") {
		time.Sleep(time.Hour) // longer than any limit that ends the program
	}
	return 0
}

// deniedAs lists the errors with which these calls fail.
var deniedAs = [...]error{unix.EPERM, unix.EAFNOSUPPORT}

// tryDenied makes a call that the profile default denies.
func tryDenied(key bool) error {
	if key {
		_, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
		return err
	}
	_, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)
	return err
}

// copySelf copies this binary to a place where scripts find it.
func copySelf(to string) error {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	return os.WriteFile(to, self, 0o755)
}
