package learn

import (
	"iter"
	"slices"
	"strconv"
	"strings"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/policy/phrase"
)

// Options say how to make a profile from recordings.
type Options struct {
	Name    string          // the name of the new profile
	Extends []string        // the profiles that it extends, by name
	Parent  *policy.Profile // these profiles merged: the parent profile
	Secrets []string        // patterns of hide rules for files that learn never allows unless Granted has them
	Targets []string        // files that are secrets because links with names of secrets lead to them
	Granted []string        // paths to allow although they are secrets, devices or sockets of the host
	// Ordinary is a profile that allows what ordinary programs call. If it denies a call explicitly, Learn does not
	// allow the call, unless Parent allows it or Calls names it. The same holds for calls that reach into other
	// programs, if Ordinary does not allow them. Any other call that Ordinary does not allow is allowed, with a note.
	// nil allows every call.
	Ordinary *policy.Profile
	Calls    []string
	Env      []policy.EnvKeep // variables to keep, because a recording does not show which ones the program reads
	Files    int              // allow a directory if the program reads this many of its files; 0 means 6
	Names    int              // like Files, for files whose names differ only in numbers; 0 means 3
	Dirs     int              // allow a directory if this many directories in it are allowed; 0 means 4
}

// NoteKind is the subject of a Note.
type NoteKind string

// These are the kinds of notes.
const (
	Granted NoteKind = "granted" // seen and allowed, but the user should look at it
	Widened NoteKind = "widened" // allowed, although it was not seen
	Left    NoteKind = "left"    // seen and not allowed, because it was not needed or is not possible
	Secret  NoteKind = "secret"  // seen and not allowed, because it is a secret
)

// Note tells the user something about the profile that the profile itself does not say.
type Note struct {
	Kind NoteKind
	What string     // what it is about
	Why  string     // what the user should know about it
	At   policy.Pos // the position of the record; zero if the note is not about a single record
}

// Result is the outcome of Learn.
type Result struct {
	Profile  *policy.Profile     // the new profile alone, without the profiles that it extends
	Notes    []Note              // sorted by kind
	Head     []string            // the lines of the comment at the top
	Comments map[string][]string // comments by the path of their key or item ("network", "syscalls.allow[12]")
}

// YAML returns the profile as a file. A comment after each rule names its evidence.
func (r *Result) YAML() []byte { return policy.Annotate(r.Profile, r.Head, r.Comments) }

type learner struct {
	f          *Facts
	w          *world
	opts       Options
	secrets    *secrets
	parent     *policy.Profile
	parentSpec filter.Spec
	ordinary   filter.Spec
	own        *policy.Profile
	notes      []Note
	comments   map[string][]string
	refused    []*Call // calls that always failed, and that learn does not allow
}

// Learn makes a profile that allows what the facts contain, on top of the profile in opts.
func Learn(f *Facts, opts Options) (*Result, error) {
	if opts.Files == 0 {
		opts.Files = 6
	}
	if opts.Names == 0 {
		opts.Names = 3
	}
	if opts.Dirs == 0 {
		opts.Dirs = 4
	}
	if opts.Parent == nil {
		opts.Parent = &policy.Profile{}
	}
	l := &learner{f: f, w: newWorld(f), opts: opts, parent: opts.Parent, own: &policy.Profile{Version: 1, Name: opts.Name}, comments: map[string][]string{}}
	var err error
	if l.parentSpec, err = l.parent.SectionFilter(); err != nil {
		return nil, err
	}
	if opts.Ordinary != nil {
		if l.ordinary, err = opts.Ordinary.SectionFilter(); err != nil {
			return nil, err
		}
	}
	patterns := append(besides[:len(besides):len(besides)], opts.Secrets...)
	l.secrets = newSecrets(l.w, patterns, opts.Granted)
	l.secrets.guardHomes(f, patterns)
	for _, p := range opts.Targets {
		l.secrets.target(p)
	}
	l.head()
	l.mounts()
	l.own.Env.Keep = l.env()
	without := l.capabilities()
	l.syscalls()
	l.network()
	l.limits()
	l.rest()
	l.leftOut(without)
	slices.SortStableFunc(l.notes, func(a, b Note) int { return order(a.Kind) - order(b.Kind) })
	slices.SortFunc(l.own.Sources, func(a, b policy.Source) int { return strings.Compare(a.Path, b.Path) })
	return &Result{Profile: l.own, Notes: l.notes, Head: l.top(), Comments: l.comments}, nil
}

func order(k NoteKind) int { return slices.Index([]NoteKind{Secret, Left, Widened, Granted}, k) }

func (l *learner) note(n Note) { l.notes = append(l.notes, n) }

func (l *learner) comment(path string, lines ...string) { l.comments[path] = lines }

// source records the position from which a scalar comes.
func (l *learner) source(path string, at policy.Pos) {
	l.own.Sources = append(l.own.Sources, policy.Source{Path: path, Pos: at})
}

func (l *learner) effective() *policy.Profile { return policy.Merge(l.parent, l.own) }

func (l *learner) head() {
	l.own.Extends = slices.Clone(l.opts.Extends)
	l.own.About = "What " + l.program() + " was seen to do."
	for i := range l.f.Header.Runs {
		r, first := &l.f.Header.Runs[i], &l.f.Header.Runs[0]
		if l.f.mixed && (r.Workdir != first.Workdir || r.Home != first.Home) {
			l.note(Note{Kind: Left, What: "the directories of " + r.Workdir, Why: "runs of one recording began in different directories: only the first stands for . and ~; record them apart"})
			break
		}
	}
}

// program returns the name of the recorded program.
func (l *learner) program() string {
	for _, r := range l.f.Header.Runs {
		if len(r.Command) > 0 {
			name := r.Command[0]
			name = name[strings.LastIndexByte(name, '/')+1:]
			if name != "" && plainPath(name) && len(name) <= 64 {
				return name
			}
		}
	}
	return "the program"
}

// top returns the comment at the top of the file, which lists the recorded runs.
func (l *learner) top() []string {
	lines := []string{"Learned from " + phrase.Counted(len(l.f.Header.Runs), "run") + "; # FILE:LINE behind a rule is the record that it comes from."}
	const most = 16
	for i := range l.f.Header.Runs {
		if i == most {
			lines = append(lines, "  and "+strconv.Itoa(len(l.f.Header.Runs)-most)+" more")
			break
		}
		r := &l.f.Header.Runs[i]
		state := "complete"
		if !r.Complete {
			state = "not complete"
			if len(r.Why) > 0 {
				state += ": " + strings.Join(r.Why, ", ")
			}
		}
		command := strings.Join(r.Command, " ")
		if len(command) > 80 {
			command = strings.ToValidUTF8(command[:80], "") + "…"
		}
		lines = append(lines, "  "+command+" ("+r.Backend+", "+state+")")
	}
	for _, file := range l.f.Truncated {
		lines = append(lines, "  "+evidence(file)+" ends too early")
	}
	return lines
}

// env returns the variables that the options keep and the parent profile does not.
func (l *learner) env() (keep []policy.EnvKeep) {
	for _, k := range l.opts.Env {
		if !slices.ContainsFunc(l.parent.Env.Keep, func(p policy.EnvKeep) bool { return p.Pattern == k.Pattern }) {
			keep = append(keep, policy.EnvKeep{Pattern: k.Pattern})
		}
	}
	if len(keep) > 0 {
		l.comment("env", "", "Which variables a program reads is not recorded; these are the usual ones.")
	}
	return keep
}

// rest sets the keys about which recordings say nothing.
func (l *learner) rest() {
	if l.parent.TTY == policy.TTYNone {
		l.own.TTY = policy.TTYInherit
		l.comment("tty", "lint:ignore CL018 the recorded program had the caller's terminal")
	}
	if l.parent.OnDenial == policy.DenialSilent {
		l.own.OnDenial = policy.DenialReport
	}
}

func keysOf[K comparable, V any](m map[K]V) iter.Seq[K] {
	return func(yield func(K) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}
