package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"cordon/policy"
	"cordon/policy/learn"
	"cordon/policy/phrase"
	"cordon/policy/recording"
	"cordon/profiles"
)

type learnFlags struct {
	out     string
	name    string
	extends []string
	grant   []string
	calls   []string
	files   int
	names   int
	dirs    int
	json    bool
}

func newLearn(u *ui) *cobra.Command {
	var f learnFlags
	c := &cobra.Command{
		Use:   "learn [flags] RECORDING...",
		Short: "Make a profile that allows what cordon record saw a program do",
		Long: "Make a profile that allows what cordon record saw a program do. Several recordings make one profile.\n\n" +
			"Each rule in the profile ends with a comment that names its record (# nginx.rec:412). On stderr, cordon learn lists\n" +
			"the rules that it made more general, and what these rules allow beyond the recordings. It also lists what the\n" +
			"recordings show but the profile does not allow: secrets, devices and sockets of the host, which need --grant, and\n" +
			"system calls that the profile \"default\" denies, which need --grant-call. Secrets are the files that \"default\" hides\n" +
			"and some further files, in every home and by every path that leads to them.\n\n" +
			"At the end cordon learn checks the recordings against the new profile, and lists what the profile would deny. The exit\n" +
			"code is 1 if the profile would deny anything.\n\n" +
			"If OUT is already a profile, cordon learn adds what is missing and keeps the rest, including comments. It refuses a\n" +
			"file that a program in a sandbox may have written; see cordon profile trust.",
		Example: "  cordon record -o nginx.rec --net host -- nginx -g 'daemon off;'\n" +
			"  cordon learn nginx.rec -o ./nginx.yaml\n" +
			"  cordon run -p ./nginx.yaml -- nginx -g 'daemon off;'",
		DisableFlagsInUseLine: true,
		Args:                  needArgs(1, "the recording"),
		RunE:                  func(_ *cobra.Command, args []string) error { return u.learn(&f, args) },
	}
	fs := c.Flags()
	fs.StringVarP(&f.out, "output", "o", "-", "write to `OUT` instead of stdout; if OUT is a profile, add to it")
	fs.StringVar(&f.name, "name", "", "`NAME` of the profile; by default the name of OUT, or of the first recording")
	fs.StringArrayVar(&f.extends, "extends", nil, "`PROFILE` to build on, base by default; may be repeated")
	fs.StringArrayVar(&f.grant, "grant", nil, "allow what the recordings show below `PATH`, even if it is a secret, a device or a socket of the host; may be repeated")
	fs.StringArrayVar(&f.calls, "grant-call", nil, "allow the system call `CALL` as the recordings show it, even if the profile default denies it; may be repeated")
	fs.IntVar(&f.files, "files", 6, "allow a whole directory if the program read at least `N` of its files; with a large N the profile lists every file")
	fs.IntVar(&f.names, "names", 3, "allow a whole directory if the program read at least `N` of its files whose names differ only in numbers")
	fs.IntVar(&f.dirs, "dirs", 4, "allow a whole directory if the profile would allow at least `N` of its directories")
	fs.BoolVar(&f.json, "json", false, "print the notes and the denials as JSON; needs -o")
	_ = c.RegisterFlagCompletionFunc("extends", completeProfile)
	return c
}

func (u *ui) learn(f *learnFlags, files []string) error {
	if f.json && f.out == "-" {
		return &cliError{err: errors.New("learn: --json prints its list on stdout"), hint: "name a file for the profile with -o"}
	}
	if f.files < 1 || f.names < 1 || f.dirs < 1 {
		return &cliError{err: errors.New("learn: --files, --names and --dirs must be at least 1"), hint: "with 1, learn allows the whole directory of every file"}
	}
	facts := &learn.Facts{Homes: homesHere()}
	for _, file := range files {
		if err := readRecording(facts, file); err != nil {
			return err
		}
	}
	old, err := f.existing()
	if err != nil {
		return err
	}
	result, err := f.learned(facts, files[0], old)
	if err != nil {
		return err
	}
	text := result.YAML()
	if old != nil {
		if text, err = policy.Update(f.out, old, result.Profile, result.Head, result.Comments); err != nil {
			return err
		}
	}
	denials, err := f.replay(text, facts)
	if err != nil {
		return err
	}
	if err := u.writeLearned(f, text); err != nil {
		return err
	}
	return u.tellLearned(f, facts, result, denials)
}

// readRecording reads a recording from a file or stdin, and adds it to facts.
func readRecording(facts *learn.Facts, file string) error {
	in, name := io.Reader(os.Stdin), "stdin"
	if file != "-" {
		r, err := openInput(file)
		if err != nil {
			return &cliError{err: because("learn: "+strconv.Quote(file), err)}
		}
		defer r.Close()
		in, name = r, file
	}
	err := facts.Read(name, in)
	var bad *recording.Error
	if errors.As(err, &bad) {
		return &cliError{err: errors.New(bad.Error()), hint: bad.Hint}
	}
	return err
}

// existing returns the text of the profile that learn extends, or nil if there is none.
func (f *learnFlags) existing() ([]byte, error) {
	if f.out == "-" {
		return nil, nil
	}
	text, err := readOwn(f.out, maxProfile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, &cliError{err: because("learn: "+strconv.Quote(f.out), err), hint: hint(err)}
	case len(strings.TrimSpace(string(text))) == 0:
		return nil, nil
	}
	return text, nil
}

// learned makes the profile from the recording. If there is an existing profile, the result has the same parents.
func (f *learnFlags) learned(facts *learn.Facts, recording string, old []byte) (*learn.Result, error) {
	search := search()
	opts := learn.Options{Name: f.name, Extends: f.extends, Granted: absolutes(f.grant), Calls: f.calls, Files: f.files, Names: f.names, Dirs: f.dirs}
	if opts.Name == "" {
		opts.Name = profileName(f.out)
	}
	if opts.Name == "" {
		opts.Name = profileName(recording)
	}
	if old != nil {
		p, err := policy.Parse(f.out, old)
		if err != nil {
			return nil, err
		}
		if f.extends != nil {
			return nil, &cliError{err: errors.New("learn: --extends: " + f.out + " already says what it extends"), hint: "edit extends: there, or write a new file"}
		}
		opts.Extends = p.Extends
	} else if opts.Extends == nil {
		opts.Extends = []string{"base"}
	}
	guard, err := search.Load([]string{profiles.DefaultName}, nil)
	if err != nil {
		return nil, err
	}
	for _, h := range guard.Hide {
		opts.Secrets = append(opts.Secrets, h.Pattern)
	}
	opts.Targets = linkedSecrets(facts.Homes, append(learn.Besides(), opts.Secrets...))
	opts.Env, opts.Ordinary = guard.Env.Keep, guard
	if len(opts.Extends) > 0 {
		if opts.Parent, err = search.Load(f.beside(opts.Extends), nil); err != nil {
			return nil, err
		}
	}
	return learn.Learn(facts, opts)
}

// beside converts names that are relative to the directory of the profile's file into names that are relative to the
// working directory.
func (f *learnFlags) beside(refs []string) []string {
	out := slices.Clone(refs)
	for i, ref := range out {
		if strings.HasPrefix(ref, "./") && f.out != "-" {
			if out[i] = filepath.Join(filepath.Dir(f.out), ref); !strings.Contains(out[i], "/") {
				out[i] = "./" + out[i]
			}
		}
	}
	return out
}

// absolutes makes paths absolute, as they are in recordings.
func absolutes(list []string) []string {
	out := slices.Clone(list)
	for i, p := range out {
		if !strings.HasPrefix(p, "~") {
			if abs, err := filepath.Abs(p); err == nil {
				out[i] = abs
			}
		}
	}
	return out
}

// profileName derives a valid profile name from a file's name, or returns "" if nothing valid remains.
func profileName(file string) string {
	base := filepath.Base(file)
	base, _, _ = strings.Cut(base, ".")
	name := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '_', r == '-':
			return r
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, base)
	if name = strings.Trim(name, "-_"); len(name) > 64 {
		name = name[:64]
	}
	return name
}

// replay checks the profile that learn is about to write against the recordings, and returns what it would deny.
func (f *learnFlags) replay(text []byte, facts *learn.Facts) ([]learn.Denial, error) {
	file := f.out
	if file == "-" {
		file = "stdout"
	}
	own, err := policy.Parse(file, text)
	if err != nil {
		return nil, err
	}
	p := own
	if len(own.Extends) > 0 {
		parents := f.beside(own.Extends)
		own.Extends = nil
		if p, err = search().Load(parents, own); err != nil {
			return nil, err
		}
	} else if err := policy.Validate(own); err != nil {
		return nil, err
	}
	return learn.Replay(p, facts)
}

func (u *ui) writeLearned(f *learnFlags, text []byte) error {
	if f.out == "-" {
		return u.write(string(text))
	}
	return putFile(f.out, "learn:", text)
}

// tellLearned prints notes on the profile, and what it would still deny.
func (u *ui) tellLearned(f *learnFlags, facts *learn.Facts, result *learn.Result, denials []learn.Denial) error {
	failed := 0
	for _, d := range denials {
		if !d.Maybe {
			failed++
		}
	}
	if failed > 0 {
		u.code = exitNo
	}
	if f.json {
		return u.json(listedLearned(facts, result, denials, failed == 0))
	}
	for _, file := range facts.Truncated {
		u.line("warning", file+": the recording ends too early; what is there was used")
	}
	for i := range facts.Header.Runs {
		if r := &facts.Header.Runs[i]; !r.Complete {
			u.line("warning", "a run of "+strings.Join(r.Command, " ")+" is not complete"+phrase.Prefixed(": ", strings.Join(r.Why, ", "))+"; what was lost is not in the profile")
		}
	}
	for _, n := range result.Notes {
		u.line(string(n.Kind), n.What+": "+n.Why+phrase.Prefixed(" (", closed(n.At.Short())))
	}
	for _, d := range denials {
		kind := "denied"
		if d.Maybe {
			kind = "unsure"
		}
		u.line(kind, d.What+": "+string(d.Layer)+": "+d.Why+phrase.Prefixed(" (", closed(d.At.Short()))+phrase.Prefixed("; ", d.By.Short()))
	}
	if failed > 0 {
		u.line("error", "learn: the profile would deny "+phrase.Counted(failed, "thing")+" of what was recorded")
		u.line("hint", "to allow a secret, a device or a socket: --grant PATH; to allow a system call: --grant-call CALL; to allow what the parent profile denies, use another --extends")
	}
	return nil
}

// learnedJSON is the output of --json.
type learnedJSON struct {
	Version   int           `json:"version"`
	OK        bool          `json:"ok"`
	Records   uint64        `json:"records"`
	Truncated []string      `json:"truncated"`
	Complete  bool          `json:"complete"`
	Notes     []learnedNote `json:"notes"`
	Denials   []deniedJSON  `json:"denials"`
}

type learnedNote struct {
	Kind string `json:"kind"`
	What string `json:"what"`
	Why  string `json:"why"`
	At   string `json:"at,omitempty"`
}

type deniedJSON struct {
	Layer string `json:"layer"`
	What  string `json:"what"`
	Why   string `json:"why"`
	Maybe bool   `json:"maybe,omitempty"`
	At    string `json:"at"`
	By    string `json:"by,omitempty"`
}

func listedLearned(facts *learn.Facts, result *learn.Result, denials []learn.Denial, ok bool) learnedJSON {
	out := learnedJSON{Version: 1, OK: ok, Records: facts.Records, Truncated: slices.Clone(facts.Truncated), Notes: []learnedNote{}, Denials: []deniedJSON{},
		Complete: facts.Header.Complete() && len(facts.Truncated) == 0}
	if out.Truncated == nil {
		out.Truncated = []string{}
	}
	for _, n := range result.Notes {
		out.Notes = append(out.Notes, learnedNote{string(n.Kind), n.What, n.Why, n.At.Short()})
	}
	for _, d := range denials {
		out.Denials = append(out.Denials, deniedJSON{string(d.Layer), d.What, d.Why, d.Maybe, d.At.Short(), d.By.Short()})
	}
	return out
}
