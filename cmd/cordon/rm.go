package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"cordon/sandbox/statedir"
)

func newRm(u *ui) *cobra.Command {
	force, ended := false, false
	c := &cobra.Command{
		Use:   "rm [-f] SANDBOX... | rm --ended",
		Short: "Remove the log, report and name of sandboxes that have ended",
		Long: "Remove the log, report and name of sandboxes that have ended.\n\n" +
			"cordon refuses to remove a running sandbox, unless --force kills it first.",
		DisableFlagsInUseLine: true,
		ValidArgsFunction:     completeSandboxes(),
		RunE: func(c *cobra.Command, args []string) error {
			if ended {
				return u.removeEnded(c, args)
			}
			if err := needArgs(1, "the sandbox")(c, args); err != nil {
				return err
			}
			return u.eachSandbox(args, func(e *statedir.Entry) error { return remove(e, force) })
		},
	}
	c.Flags().BoolVarP(&force, "force", "f", false, "kill a running sandbox first, with SIGKILL")
	c.Flags().BoolVar(&ended, "ended", false, "remove every sandbox that has ended")
	return c
}

func remove(e *statedir.Entry, force bool) error {
	if !force || e.Status() == statedir.StatusEnded {
		return e.Remove()
	}
	if err := e.Signal(unix.SIGKILL); err != nil && e.Ending() == nil {
		return err
	}
	if err := gone(e); err != nil {
		return err
	}
	err := e.Remove()
	if notExist(err) { // the launcher itself has already removed the entry
		return nil
	}
	return err
}

// goneWithin is how long rm waits for a sandbox that it has killed to end.
const goneWithin = 30 * time.Second

func gone(e *statedir.Entry) error {
	done := make(chan error, 1)
	go func() {
		_, err := e.Wait()
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(goneWithin):
		return &cliError{err: errors.New("sandbox " + label(&e.State) + ": does not end"), hint: "its launcher, pid " + itoa(e.State.Launcher.PID) + ", is stopped, or one of its processes waits in the kernel"}
	}
}

func (u *ui) removeEnded(c *cobra.Command, args []string) error {
	if err := atMost(0)(c, args); err != nil {
		return err
	}
	d, err := u.openState()
	if err != nil {
		return err
	}
	defer d.Close()
	all, err := d.Entries()
	if err := u.showDamaged(err); err != nil {
		return err
	}
	var errs []error
	for _, e := range all {
		if e.Status() == statedir.StatusEnded {
			errs = append(errs, e.Remove())
		}
		e.Close()
	}
	return errors.Join(errs...)
}
