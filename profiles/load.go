package profiles

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"cordon/policy"
)

// Load returns the effective profile of one or more names and files. It merges each of them over the earlier ones, and
// then over over all of them. over holds the flags of the command line, or is nil. The profile is valid. The caller
// must not change it, because other profiles may share the memory behind its slices.
func (s Search) Load(refs []string, over *policy.Profile) (*policy.Profile, error) {
	p, err := s.load(refs, over)
	if err == nil {
		p.Prebuilt = prebuilt(p)
	}
	return p, err
}

// prebuilt finds the filters that fit a profile: its own, or the filters of a shipped profile that it extends and
// whose section of system calls it does not change.
func prebuilt(p *policy.Profile) *policy.Prebuilt {
	for i := range filters {
		if filters[i].Holds(p) {
			return &filters[i]
		}
	}
	return nil
}

// load does the same as Load, but does not look for prebuilt filters.
func (s Search) load(refs []string, over *policy.Profile) (*policy.Profile, error) {
	p := s.ready(refs)
	if p == nil {
		var err error
		if p, err = s.assemble(refs); err != nil {
			return nil, err
		}
	} else if over == nil {
		return p, nil
	}
	if over != nil {
		p = policy.Merge(p, over)
	}
	if err := policy.Validate(p); err != nil {
		return nil, s.withLines(err)
	}
	return p, nil
}

// ready returns a copy of a shipped profile, if that is the only profile in refs. It returns nil if a directory
// contains a profile of the same name, or of the same name as a profile that the shipped one extends.
func (s Search) ready(refs []string) *policy.Profile {
	if len(refs) != 1 {
		return nil
	}
	c := find(refs[0])
	if c == nil {
		return nil
	}
	for _, dir := range s.Dirs {
		if _, err := os.Stat(dir); err != nil && absent(err) {
			continue
		}
		for _, name := range c.chain {
			if _, err := os.Lstat(dir + "/" + name + ".yaml"); !absent(err) {
				return nil
			}
		}
	}
	p := *c.effective
	return &p
}

// assemble resolves refs as if a profile extended them.
func (s Search) assemble(refs []string) (*policy.Profile, error) {
	last := ""
	p, err := policy.Extend(&policy.Profile{Extends: refs}, func(ref string) (*policy.Profile, error) {
		src, err := s.resolve(ref)
		if err != nil {
			return nil, err
		}
		p, err := s.own(src)
		if err == nil && len(refs) > 0 && ref == refs[len(refs)-1] {
			last = p.Name
		}
		return p, err
	})
	if err != nil {
		return nil, unwrapRef(err)
	}
	if last != "" {
		p.Name = last
	}
	return p, nil
}

// unwrapRef removes the words about extends from an error about a profile that the command line names.
func unwrapRef(err error) error {
	var all policy.Errors
	if errors.As(err, &all) && len(all) == 1 && all[0].Pos == (policy.Pos{}) {
		e := *all[0]
		e.Msg = strings.TrimPrefix(e.Msg, "extends: ")
		return policy.Errors{&e}
	}
	return err
}

// resolve does the same as Find, and also understands the names that function own makes.
func (s Search) resolve(ref string) (*Source, error) {
	if name, layer, ok := strings.Cut(ref, "@"); ok && !strings.Contains(ref, "/") {
		if from, err := strconv.Atoi(layer); err == nil {
			return s.named(name, from)
		}
	}
	return s.Find(ref)
}

// own parses one profile. It changes the entries of extends so that they mean the same from any place. A relative file
// becomes a path. If a profile extends its own name, the name comes to mean the profile that it shadows (that has the
// same name in a later directory). So a user can add to a shipped profile under its name.
func (s Search) own(src *Source) (*policy.Profile, error) {
	if src.layer == len(s.Dirs) {
		p := *find(src.Name).own
		return &p, nil
	}
	p, err := policy.Parse(src.File, src.Data)
	if err != nil {
		return nil, err
	}
	if p.Name == "" {
		p.Name = src.Name
	}
	for i, ref := range p.Extends {
		switch {
		case strings.HasPrefix(ref, "./"):
			p.Extends[i] = absolute(filepath.Join(filepath.Dir(src.File), ref))
		case ref == src.Name && src.layer >= 0:
			p.Extends[i] = ref + "@" + strconv.Itoa(src.layer+1)
		}
	}
	return p, nil
}

// absolute adds a slash to a path that has none, because only a reference with a slash means a file.
func absolute(path string) string {
	if strings.Contains(path, "/") {
		return path
	}
	return "./" + path
}

// withLines adds the wrong lines of the files to the errors of Validate, because Validate does not know the files.
func (s Search) withLines(err error) error {
	var all policy.Errors
	if !errors.As(err, &all) {
		return err
	}
	for _, e := range all {
		if e.Line == "" && e.Pos.Line > 0 {
			e.Line = line(e.Pos)
		}
	}
	return all
}

func line(at policy.Pos) string {
	var data []byte
	if name, ok := strings.CutPrefix(at.File, "embedded:"); ok {
		data, _ = files.ReadFile(name)
	} else {
		data, _ = read(at.File)
	}
	lines := strings.SplitN(string(data), "\n", at.Line+1)
	if at.Line > len(lines) {
		return ""
	}
	return strings.TrimSuffix(lines[at.Line-1], "\r")
}
