package main

import (
	"errors"
	"os"

	"github.com/spf13/cobra"

	"cordon/sandbox"
)

func newRun(u *ui) *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run [flags] [--] CMD [ARG...]",
		Short: "Run a program in a sandbox",
		Long: "Run a program in a sandbox.\n\n" +
			"The first word that is no flag, and everything after --, is the command, whatever it looks like.\n" +
			"Profiles are merged in the order of naming, flags last. Without -p it is the profile \"default\".",
		Example: "  cordon run ./tool\n" +
			"  cordon run --rw . --net host -- npm ci\n" +
			"  cordon run -p build --timeout 10m --report run.json -- make test",
		DisableFlagsInUseLine: true,
		Args:                  needArgs(1, "the command"),
		RunE: func(_ *cobra.Command, args []string) error {
			if f.dryRun {
				return u.plan(&f, args)
			}
			return u.run(&f, args)
		},
	}
	addRunFlags(u, c, &f)
	fs := c.Flags()
	fs.StringVar(&f.report, "report", "", "write what happened to `FILE` as JSON; - is a text on stderr, as --verbose")
	fs.BoolVar(&f.summary, "summary", false, "say on stderr at the end what the run came to, in few lines")
	fs.StringVar(&f.sumFile, "summary-file", "", "the same as Markdown, added to `FILE`, for a CI job's summary")
	fs.BoolVarP(&f.verbose, "verbose", "v", false, "say on stderr what was enforced and used")
	fs.BoolVar(&f.dryRun, "dry-run", false, "print the plan and run nothing, as cordon plan does")
	return c
}

// run runs the command and leaves the exit code in u.
func (u *ui) run(f *runFlags, args []string) error {
	c, err := command(f, args)
	if err != nil {
		return err
	}
	out, err := openFiles(f)
	if err != nil {
		return err
	}
	rep, err := c.Run()
	if err != nil {
		return err
	}
	u.showRun(rep, f.verbose)
	u.code = runCode(rep)
	if f.summary {
		u.showSummary(rep)
	}
	return out.write(rep, u.code)
}

// outFiles are what is written about a run; nil for what is not asked for.
type outFiles struct{ report, summary *reportFile }

func openFiles(f *runFlags) (out outFiles, err error) {
	switch f.report {
	case "":
	case "-":
		f.verbose = true
	default:
		out.report, err = openReport(f.report)
	}
	if err == nil && f.sumFile != "" {
		out.summary, err = openSummary(f.sumFile)
	}
	return out, err
}

func (o *outFiles) write(rep *sandbox.Report, code int) (err error) {
	if o.report != nil {
		err = o.report.write(rep)
	}
	if o.summary != nil {
		err = errors.Join(err, o.summary.add(markdown(rep, code)))
	}
	return err
}

// command is what the flags and arguments ask for, ready to be started.
func command(f *runFlags, args []string) (*sandbox.Cmd, error) {
	h, err := sandbox.Probe()
	if err != nil {
		return nil, err
	}
	p, err := load(f.profiles, f.fields)
	if err != nil {
		return nil, err
	}
	return &sandbox.Cmd{
		Profile: p,
		Args:    args,
		Host:    h,
		Stdin:   os.Stdin,
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,

		Exclusive: true,
	}, nil
}
