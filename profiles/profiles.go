// Package profiles finds and loads profiles, and holds the shipped ones.
//
// It looks a name up in the user's directory, then in the system's, then among the shipped profiles. A reference with
// a slash is a file. It never takes a profile from the working directory unless the user wrote ./ in front, because a
// sandboxed program may have written there.
package profiles

import (
	"embed"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"cordon/policy"
)

//go:generate go run gen.go

//go:embed *.yaml
var files embed.FS

// SystemDir is the directory for profiles of the machine's administrator.
const SystemDir = "/etc/cordon/profiles"

// DefaultName is the profile that cordon uses if the user names none.
const DefaultName = "default"

// compiled is a shipped profile, ready for use.
type compiled struct {
	name           string
	own, effective *policy.Profile
	chain          []string // the names of all profiles that were merged into effective
}

// Search says where to look names up.
type Search struct {
	Dirs []string // searched in this order, before the shipped profiles
	Home string   // what ~ means in extends

	// Read reads at most the first max bytes of a file. nil means a plain read of a regular file. If an error has a
	// method Hint() string, the method returns the advice for the error.
	Read func(file string, max int64) ([]byte, error)
}

// DefaultSearch returns the search through $XDG_CONFIG_HOME/cordon/profiles, or ~/.config/cordon/profiles, and then
// SystemDir. getenv is os.Getenv, except in tests.
func DefaultSearch(getenv func(string) string) Search {
	s := Search{Home: getenv("HOME")}
	config := getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(config) && filepath.IsAbs(s.Home) {
		config = s.Home + "/.config"
	}
	if filepath.IsAbs(config) {
		s.Dirs = append(s.Dirs, config+"/cordon/profiles")
	}
	s.Dirs = append(s.Dirs, SystemDir)
	return s
}

// Source is the text of a profile.
type Source struct {
	Name  string
	File  string // its name in positions: a path, or embedded:NAME.yaml
	Data  []byte
	layer int // index into Dirs; len(Dirs) for a shipped profile, -1 for a file that the user named
}

// Find reads the profile that ref means: a name, or a file.
func (s Search) Find(ref string) (*Source, error) {
	if strings.Contains(ref, "/") {
		return s.file(ref)
	}
	return s.named(ref, 0)
}

func (s Search) file(ref string) (*Source, error) {
	if rest, ok := strings.CutPrefix(ref, "~/"); ok && s.Home != "" {
		ref = filepath.Join(s.Home, rest)
	}
	data, err := s.read(ref)
	if err != nil {
		return nil, unreadable(ref, err)
	}
	return &Source{Name: strings.TrimSuffix(filepath.Base(ref), ".yaml"), File: ref, Data: data, layer: -1}, nil
}

// unreadable returns an error that contains the name of the file once, and not twice.
func unreadable(file string, err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	e := &policy.Error{Msg: "profile " + strconv.Quote(file) + ": " + err.Error()}
	var advised interface{ Hint() string }
	if errors.As(err, &advised) {
		e.Hint = advised.Hint()
	} else if errors.Is(err, fs.ErrPermission) {
		e.Hint = "if this is not your home directory, set HOME or XDG_CONFIG_HOME"
	}
	return e
}

// absent reports whether err means that the file does not exist. ENOTDIR means that too: HOME=/dev/null is a common way
// to have no home.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// maxFile is the largest size that policy.Parse accepts plus one byte. Reading one byte more shows that a file is too
// large.
const maxFile = 1<<20 + 1

func (s Search) read(file string) ([]byte, error) {
	if s.Read != nil {
		return s.Read(file, maxFile)
	}
	return read(file)
}

var errNotRegular = errors.New("it is no regular file")

// read reads a regular file. It does not open a fifo or a device.
func read(file string) ([]byte, error) {
	switch i, err := os.Stat(file); {
	case err != nil:
		return nil, err
	case i.IsDir():
		return nil, syscall.EISDIR
	case !i.Mode().IsRegular():
		return nil, errNotRegular
	}
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if i, err := f.Stat(); err != nil || !i.Mode().IsRegular() {
		return nil, errors.Join(err, errNotRegular)
	}
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// named looks up a name in the layers from number from on. A layer is a directory of Dirs; the last layer holds the
// shipped profiles.
func (s Search) named(name string, from int) (*Source, error) {
	for i := from; i < len(s.Dirs); i++ {
		file := s.Dirs[i] + "/" + name + ".yaml"
		data, err := s.read(file)
		if err == nil {
			return &Source{Name: name, File: file, Data: data, layer: i}, nil
		}
		if !absent(err) {
			return nil, unreadable(file, err)
		}
	}
	if c := find(name); c != nil {
		data, err := files.ReadFile(name + ".yaml")
		return &Source{Name: name, File: "embedded:" + name + ".yaml", Data: data, layer: len(s.Dirs)}, err
	}
	return nil, s.unknown(name)
}

func find(name string) *compiled {
	for i := range shipped {
		if shipped[i].name == name {
			return &shipped[i]
		}
	}
	return nil
}

func (s Search) unknown(name string) error {
	e := &policy.Error{Msg: "unknown profile " + policy.Quote(name)}
	if _, err := os.Lstat(name); err == nil {
		e.Hint = "did you mean the file? write ./" + name
		return e
	}
	for _, dir := range s.Dirs {
		file := filepath.Join(dir, name+".yaml")
		if to, err := os.Readlink(file); err == nil {
			e.Hint = file + " is a link that leads nowhere, to " + policy.Quote(to)
			return e
		}
	}
	names := slices.DeleteFunc(s.names(), func(n string) bool { return n == name })
	if near := policy.Suggest(name, names); near != "" {
		e.Hint = "did you mean " + policy.Quote(near) + "?"
	} else {
		e.Hint = "there is " + strings.Join(names, ", ")
	}
	return e
}

// names lists the names of all profiles in the directories, and of the shipped profiles. It does not read the profiles,
// so the list may contain a link that leads nowhere.
func (s Search) names() (list []string) {
	for _, dir := range s.Dirs {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if name, ok := strings.CutSuffix(e.Name(), ".yaml"); ok {
				list = append(list, name)
			}
		}
	}
	for i := range shipped {
		list = append(list, shipped[i].name)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// Info describes a profile that the user can name.
type Info struct {
	Name  string
	About string // "" if the profile cannot be read
	File  string
	Err   error // what is wrong with the profile
}

// List lists every profile, sorted by name. If several profiles have the same name, it lists only the one that Find
// would return.
func (s Search) List() []Info {
	var out []Info
	add := func(name string, layer int) {
		if slices.ContainsFunc(out, func(i Info) bool { return i.Name == name }) {
			return
		}
		out = append(out, s.info(name, layer))
	}
	for layer, dir := range s.Dirs {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if name, ok := strings.CutSuffix(e.Name(), ".yaml"); ok {
				add(name, layer)
			}
		}
	}
	for i := range shipped {
		add(shipped[i].name, len(s.Dirs))
	}
	slices.SortFunc(out, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (s Search) info(name string, layer int) Info {
	src, err := s.named(name, layer)
	if err != nil {
		return Info{Name: name, File: s.Dirs[layer] + "/" + name + ".yaml", Err: err}
	}
	i := Info{Name: name, File: src.File}
	p, err := s.own(src)
	if err != nil {
		i.Err = err
		return i
	}
	i.About = p.About
	return i
}

// Text returns the file of a shipped profile.
func Text(name string) ([]byte, error) { return files.ReadFile(name + ".yaml") }
