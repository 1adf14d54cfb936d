package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/pflag"
)

func main() {
	if os.Getpid() == 1 {
		guestMain()
	}
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	if len(os.Args) == 3 && os.Args[1] == makeRoot {
		if err := makeRootImage(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, "vm:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	code, err := command(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "vm:", err)
		code = 125
	}
	os.Exit(code)
}

type options struct {
	kernel  string
	user    bool
	plain   bool
	timeout time.Duration
	env     []string
	dir     string
}

func command(ctx context.Context, args []string) (int, error) {
	var o options
	flags := pflag.NewFlagSet("vm", pflag.ContinueOnError)
	flags.SetInterspersed(false)
	flags.StringVar(&o.kernel, "kernel", "6.12", "6.1 or 6.12")
	flags.BoolVar(&o.user, "user", false, "run as an ordinary user, in a cgroup of the user's")
	flags.DurationVar(&o.timeout, "timeout", 10*time.Minute, "of the whole run")
	flags.StringArrayVar(&o.env, "env", nil, "NAME=VALUE for the program")
	flags.StringVar(&o.dir, "dir", "", "where the program runs (default: the same directory in the checkout)")
	if err := flags.Parse(args); errors.Is(err, pflag.ErrHelp) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	if flags.NArg() == 0 {
		return 0, errors.New("no program is named")
	}
	checkout, below, err := here()
	if err != nil {
		return 0, err
	}
	if o.dir == "" {
		o.dir = filepath.Join("/cordon", below)
	}
	return runOne(ctx, o, checkout, flags.Args())
}

// here is the checkout and the working directory in it.
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
	env := append([]string{"CORDON_BIN=/cordon/bin/cordon", "CORDON_CI=1", "CI=true"}, o.env...)
	root, err := rootImage()
	if err != nil {
		return 0, err
	}
	m := machine{kernel: k, root: root, checkout: checkout, timeout: o.timeout, out: os.Stdout, orders: orders{
		Quiet: true,
		Jobs:  []job{{Name: args[0], Args: args, Dir: o.dir, Env: env, User: o.user, Timeout: o.timeout}},
	}}
	result, err := m.run(ctx)
	return result.Code, err
}
