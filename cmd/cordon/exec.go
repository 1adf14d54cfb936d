package main

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"cordon/sandbox"
	"cordon/sandbox/host"
	"cordon/sandbox/statedir"
)

// execFlags holds the flags of `exec`.
type execFlags struct {
	env     []string
	workdir string
	report  string
	verbose bool
	dryRun  bool
	json    bool

	interactive, terminal bool // -i, -t
}

func newExec(u *ui) *cobra.Command {
	var f execFlags
	c := &cobra.Command{
		Use:   "exec [flags] SANDBOX [--] CMD [ARG...]",
		Short: "Run a program in a running sandbox",
		Long: "Run a program in a running sandbox. The program shares the sandbox's namespaces, root and cgroup. It gets the\n" +
			"sandbox's ids, capabilities, filter, Landlock rules, limits and environment. The program ends when this command or the\n" +
			"sandbox ends; processes that it leaves in the background belong to the sandbox. The sandbox's time limit also ends the\n" +
			"program. cordon counts the program's output separately from the sandbox's output.\n\n" +
			"cordon looks the program up inside the sandbox. Through /proc/PID/fd, other programs in the sandbox can open the\n" +
			"files that you give to this program as standard input, output or error. Only the user who started a sandbox can join it.",
		Example: "  cordon run --detach --name dev -p build -- sleep 1h\n" +
			"  cordon exec dev -- make test\n" +
			"  cordon exec -w /tmp -e DEBUG=1 dev sh",
		DisableFlagsInUseLine: true,
		Args:                  needArgs(1, "the sandbox"),
		ValidArgsFunction:     completeExec,
		RunE:                  func(_ *cobra.Command, args []string) error { return u.exec(&f, args) },
	}
	fs := c.Flags()
	fs.SetInterspersed(false)
	fs.SortFlags = false
	fs.StringArrayVarP(&f.env, "env", "e", nil, "set a variable (`NAME=VALUE`), or pass on your own (NAME); may be repeated")
	fs.StringVarP(&f.workdir, "workdir", "w", "", "set the working directory inside to `PATH`; by default it is the sandbox's working directory")
	fs.Var((*fileName)(&f.report), "report", "write a report to `FILE` as JSON; - prints text on stderr, as --verbose does")
	fs.BoolVarP(&f.verbose, "verbose", "v", false, "print on stderr what was enforced and what was used")
	fs.BoolVarP(&f.interactive, "interactive", "i", false, "has no effect, because stdin always stays open; cordon accepts this flag because docker exec has it")
	fs.BoolVarP(&f.terminal, "terminal", "t", false, "give the program a terminal of its own, even if stdin, stdout and stderr are not terminals")
	fs.BoolVar(&f.dryRun, "dry-run", false, "print the system calls that would start the program, and run nothing")
	fs.BoolVar(&f.json, "json", false, "with --dry-run: print JSON")
	return c
}

// completeExec completes the names of running sandboxes. After a sandbox's name it leaves completion to the shell.
func completeExec(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return completeSandboxes(statedir.StatusRunning)(c, args, word)
}

// exec runs a command in the sandbox, and stores the exit code in u.
func (u *ui) exec(f *execFlags, args []string) error {
	if err := checkTerminal(f.interactive, f.terminal); err != nil {
		return err
	}
	env, err := execEnv(f.env, os.LookupEnv)
	if err != nil {
		return err
	}
	ref, args := args[0], args[1:]
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return &cliError{err: errors.New("exec: the command is missing"), hint: "cordon exec " + ref + " -- CMD [ARG…]"}
	}
	return u.oneSandbox(ref, func(e *statedir.Entry) error {
		a, err := e.Attach()
		if err != nil {
			return err
		}
		defer a.Close()
		c, err := joining(a, args)
		if err != nil {
			return err
		}
		c.Terminal = f.terminal
		c.Env, c.Dir = append(a.Terminal(os.Getenv), env...), f.workdir
		if f.dryRun {
			return u.printPlan(c, f.json)
		}
		return u.runJoined(f, c)
	})
}

// joining returns a Cmd that joins a running sandbox.
func joining(a *sandbox.Attached, args []string) (*sandbox.Cmd, error) {
	h, err := host.Probe()
	if err != nil {
		return nil, err
	}
	return &sandbox.Cmd{Into: a, Args: args, Host: h, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Exclusive: true}, nil
}

func (u *ui) runJoined(f *execFlags, c *sandbox.Cmd) error {
	u.opened = true
	out := &outFiles{}
	var err error
	if out.report, err = wantReport(f.report, &f.verbose); err == nil {
		err = out.report.removeOld()
	}
	if err != nil {
		return err
	}
	rep, err := ended(c, c.Run())
	if err != nil {
		out.failed(c.Args, err)
		return err
	}
	u.showRun(rep, f.verbose)
	if rep.Ended {
		u.line("ended", "the sandbox has ended, and the program with it")
	}
	u.code = runCode(rep)
	return out.write(rep, u.code)
}

// execEnv parses the values of -e: NAME=VALUE, or NAME for a variable of the caller.
func execEnv(list []string, lookup func(string) (string, bool)) (env []string, err error) {
	for _, v := range list {
		name, _, set := strings.Cut(v, "=")
		if name == "" || strings.ContainsRune(v, 0) {
			return nil, &cliError{err: errors.New("--env " + strconv.Quote(v) + ": not a variable"), hint: "use NAME=VALUE, or NAME to pass your own value on"}
		}
		if !set {
			value, ok := lookup(name)
			if !ok {
				continue // docker also leaves out a variable that the caller does not have
			}
			v = name + "=" + value
		}
		env = append(env, v)
	}
	return env, nil
}
