package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/pflag"
)

func main() {
	if os.Getpid() == 1 {
		guestMain()
	}
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	if len(os.Args) == 3 {
		part := map[string]func(string) error{makeRoot: makeRootImage, escape: escapeChroot, agent: agentMain}[os.Args[1]]
		if part != nil {
			if err := part(os.Args[2]); err != nil {
				fmt.Fprintln(os.Stderr, "vm:", err)
				os.Exit(1)
			}
			return
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	code, err := command(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "vm:", err)
		if code == 0 {
			code = 125
		}
	}
	os.Exit(code)
}

type options struct {
	kernel  string
	user    bool
	plain   bool
	systemd bool
	timeout time.Duration
	env     []string
	dir     string
}

func command(ctx context.Context, args []string) (int, error) {
	checkout, below, err := here()
	if err != nil {
		return 0, err
	}
	if len(args) > 0 && args[0] == "suite" {
		return suiteCommand(ctx, args[1:], checkout)
	}
	var o options
	flags := pflag.NewFlagSet("vm", pflag.ContinueOnError)
	flags.SetInterspersed(false)
	flags.StringVar(&o.kernel, "kernel", "6.12", "6.1 or 6.12")
	flags.BoolVar(&o.user, "user", false, "run as an ordinary user, in a cgroup of the user's")
	flags.BoolVar(&o.systemd, "systemd", false, "let systemd run the machine, and the program in a session of its own")
	flags.BoolVar(&o.plain, "initramfs", false, "run in the initramfs, where there are busybox and cordon alone")
	flags.DurationVar(&o.timeout, "timeout", 10*time.Minute, "of the whole run")
	flags.StringArrayVar(&o.env, "env", nil, "NAME=VALUE for the program")
	flags.StringVar(&o.dir, "dir", filepath.Join("/cordon", below), "where the program runs")
	if err := flags.Parse(args); errors.Is(err, pflag.ErrHelp) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	if flags.NArg() == 0 {
		return 0, errors.New("no program is named")
	}
	return runOne(ctx, o, checkout, flags.Args())
}

func suiteCommand(ctx context.Context, args []string, checkout string) (int, error) {
	var o suiteOptions
	flags := pflag.NewFlagSet("vm suite", pflag.ContinueOnError)
	flags.StringSliceVar(&o.kernels, "kernel", []string{"6.1", "6.12"}, "which of them")
	flags.StringVar(&o.run, "run", "", "only tests whose names match")
	flags.StringVar(&o.as, "as", "", "only as root, or as user")
	flags.BoolVar(&o.short, "short", false, "a few of the tests")
	flags.BoolVar(&o.systemd, "systemd", false, "only what is tried where systemd runs")
	if err := flags.Parse(args); errors.Is(err, pflag.ErrHelp) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	if flags.NArg() > 0 {
		o.names = flags.Args()
	}
	return runSuite(ctx, o, checkout)
}

// here returns the root of the checkout, and the path of the working directory below it.
func here() (checkout, below string, err error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", "", err
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir + "/go.mod"); err == nil {
			below, err := filepath.Rel(dir, wd)
			return dir, below, err
		}
		if dir == "/" {
			return "", "", fmt.Errorf("%s: not in the checkout", wd)
		}
	}
}

func runOne(ctx context.Context, o options, checkout string, args []string) (int, error) {
	k, err := getKernel(o.kernel)
	if err != nil {
		return 0, err
	}
	root, err := rootImage()
	if err != nil {
		return 0, err
	}
	j := job{Name: args[0], Args: args, Dir: o.dir, Env: append(slices.Clone(testEnv), o.env...), User: o.user, Plain: o.plain, Timeout: o.timeout}
	if o.plain {
		j.Dir = "/"
	}
	m := machine{kernel: k, root: root, checkout: checkout, files: plainFiles(checkout), timeout: o.timeout, out: os.Stdout,
		orders: orders{Quiet: true, Systemd: o.systemd, Jobs: []job{j}}}
	result, err := m.run(ctx)
	return result.Code, err
}
