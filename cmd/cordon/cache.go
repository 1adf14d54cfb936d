package main

import (
	"errors"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cordon/policy"
	"cordon/sandbox/caches"
)

func newCache(u *ui) *cobra.Command {
	c := &cobra.Command{
		Use:                   "cache COMMAND [ARG...]",
		Short:                 "List and remove the caches that sandboxes keep for projects",
		DisableFlagsInUseLine: true,
		Args:                  noArgs,
		RunE:                  u.needCommand,
	}
	c.AddCommand(newCacheLs(u), newCacheRm(u))
	return c
}

// listedCaches is the JSON of `cache ls`.
type listedCaches struct {
	Version int            `json:"version"`
	Root    string         `json:"root"`
	Caches  []caches.Cache `json:"caches"`
}

func newCacheLs(u *ui) *cobra.Command {
	asJSON := false
	c := &cobra.Command{
		Use:   "ls",
		Short: "List the caches of each project and profile, and how large they are",
		Long: "List the caches of each project and profile: name, size, profile, the tools that have put something into the cache,\n" +
			"and the project's directory. A `+` after a size says that cordon could not read a part of the cache.",
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			root, list, err := ownCaches()
			if err != nil {
				return err
			}
			if asJSON {
				return u.json(listedCaches{1, root, list})
			}
			return u.write(cacheTable(list, time.Now()))
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// ownCaches lists the caller's caches.
func ownCaches() (root string, list []caches.Cache, err error) {
	if root = caches.Root(); root == "" {
		return "", nil, &cliError{err: errors.New("there is no home directory of yours"), hint: "set XDG_CACHE_HOME to the directory that your runs use"}
	}
	list, err = caches.List(root)
	if list == nil {
		list = []caches.Cache{}
	}
	return root, list, err
}

func cacheTable(list []caches.Cache, now time.Time) string {
	if len(list) == 0 {
		return ""
	}
	rows := [][]string{{"NAME", "SIZE", "USED", "PROFILE", "TOOLS", "PROJECT"}}
	for i := range list {
		c := &list[i]
		took := size(c.Bytes)
		if c.Partial {
			took += "+"
		}
		rows = append(rows, []string{clean(c.Name), took, age(now.Sub(c.Used)), orDash(clean(c.Profile)), orDash(clean(strings.Join(c.Tools, ","))), orDash(clean(c.Project))})
	}
	return columns(rows)
}

func newCacheRm(u *ui) *cobra.Command {
	all := false
	c := &cobra.Command{
		Use:   "rm NAME|DIR... | rm --all",
		Short: "Remove the caches of a project",
		Long: "Remove the caches with a NAME, as `cordon cache ls` prints it, or the caches of all profiles in the project's\n" +
			"directory DIR (a path with a slash, or `.`). Your own caches stay.",
		DisableFlagsInUseLine: true,
		ValidArgsFunction:     completeCaches,
		RunE: func(c *cobra.Command, args []string) error {
			if all {
				if err := atMost(0)(c, args); err != nil {
					return err
				}
				return caches.RemoveAll(caches.Root())
			}
			if err := needArgs(1, "the cache")(c, args); err != nil {
				return err
			}
			return removeCaches(args)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "remove the caches of all projects")
	return c
}

// removeCaches removes the caches that the arguments name. It removes none if an argument names none.
func removeCaches(args []string) error {
	root, list, err := ownCaches()
	if err != nil {
		return err
	}
	var names []string
	for _, arg := range args {
		found, err := cachesOf(list, arg)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return &cliError{err: errors.New("cache " + policy.Quote(arg) + ": there is none"), hint: "cordon cache ls lists them"}
		}
		names = append(names, found...)
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, caches.Remove(root, name))
	}
	return errors.Join(errs...)
}

// cachesOf returns the names of the caches that an argument means.
func cachesOf(list []caches.Cache, arg string) (names []string, err error) {
	dir := ""
	if arg == "." || strings.Contains(arg, "/") {
		if dir, err = filepath.Abs(arg); err != nil {
			return nil, err
		}
		if end, err := filepath.EvalSymlinks(dir); err == nil {
			dir = end
		}
	}
	for i := range list {
		if c := &list[i]; c.Name == arg || dir != "" && c.Project == dir {
			names = append(names, c.Name)
		}
	}
	return names, nil
}

// completeCaches completes the names of caches.
func completeCaches(_ *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	_, list, err := ownCaches()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []cobra.Completion
	for i := range list {
		out = append(out, cobra.CompletionWithDesc(list[i].Name, list[i].Project))
	}
	return out, cobra.ShellCompDirectiveDefault
}
