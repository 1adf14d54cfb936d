package convert

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"cordon/policy"
	"cordon/policy/filter"
)

// write makes the profile's text, formats it, and reads it back.
func (im *importer) write(opts ImportOptions) ([]byte, error) {
	var b strings.Builder
	im.writeHead(&b, opts)
	if !opts.Bare {
		b.WriteString(frame(im.target.Caps))
	}
	im.writeSyscalls(&b, opts)
	text, err := policy.Format(im.file, []byte(b.String()))
	if err != nil {
		return nil, err
	}
	p, err := policy.Parse("the imported profile", text)
	if err != nil {
		return nil, err
	}
	spec, err := p.Syscalls.Filter()
	if err != nil {
		return nil, err
	}
	if _, err := filter.Compile(spec, im.target.Arch); err != nil {
		return nil, err
	}
	return text, nil
}

func (im *importer) base() string {
	base := path.Base(strings.ReplaceAll(im.file, "\\", "/"))
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, base)
}

func (im *importer) writeHead(b *strings.Builder, opts ImportOptions) {
	t := &im.target
	b.WriteString("# Imported from " + im.base() + ", for " + t.Arch.String() + ", Linux " + t.Kernel.String() + " and the capabilities ")
	if opts.Bare {
		b.WriteString("\n# " + list(t.Caps) + ".\n")
	} else {
		b.WriteString("below.\n")
	}
	b.WriteString("# Numbers in comments are lines of that file. reg0 to reg5 are a call's arguments as bare registers, which is what\n" +
		"# libseccomp compares.\n")
	if opts.Bare {
		b.WriteString("# Merged over another profile, that one's denials and rules hold as well.\n")
	} else {
		b.WriteString("# All but the system calls is as in the shipped profile container. Nothing is inherited, so that no denial is added.\n")
	}
	about := strconv.Quote("The seccomp profile " + im.base() + ", imported.")
	b.WriteString("\nversion: 1\nname: " + im.name(opts.Name) + "\nabout: " + about + "\n")
}

func list(caps []string) string {
	if len(caps) == 0 {
		return "(none)"
	}
	return strings.Join(caps, " ")
}

// name returns a name that a profile may have.
func (im *importer) name(name string) string {
	if name == "" {
		name = im.base()
		for _, ext := range []string{".json", ".yaml"} {
			name = strings.TrimSuffix(name, ext)
		}
	}
	name = strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '.', r == '_', r == '-':
			return r
		}
		return '-'
	}, name), "-._")
	if len(name) > 64 {
		name = strings.Trim(name[:64], "-._")
	}
	if name == "" {
		name = "imported"
	}
	return strconv.Quote(name)
}

// frame returns the shipped profile container, merged with the profiles that it extends, without the syscalls section.
// A test checks that frame and the shipped profile agree.
func frame(caps []string) string {
	return `
mounts:
  - {proc: /proc}
  - {dev: /dev}
  - {mqueue: /dev/mqueue}
  - {sysfs: /sys, optional: true}
  - {generate: /etc/hosts, optional: true}
  - {generate: /etc/hostname, optional: true}
  - {generate: /etc/resolv.conf, optional: true}

hostname: container
user: {uid: 0, gid: 0}
env:
  keep: [TERM]
  set:
    PATH: /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    HOME: /root

capabilities:
  keep: [` + strings.Join(caps, ", ") + `]

network: none
limits:
  rlimits: {core: 0}
process: {workdir: /, umask: "0022"}
tty: broker
missing: [cgroup, landlock]
`
}

func (im *importer) writeSyscalls(b *strings.Builder, opts ImportOptions) {
	b.WriteString("\nsyscalls:\n")
	b.WriteString("  default: " + im.deflt.String() + lines([]int{im.deflt.at.line}) + "\n")
	b.WriteString("  unknown: " + im.unknown().String() + "\n")
	b.WriteString("  arches: [" + im.target.Arch.String()) // on another machine the profile is then an error
	for _, a := range im.foreign {
		b.WriteString(", " + a.String())
	}
	b.WriteString("]\n")
	im.writeList(b, "allow", im.allow, opts.Names)
	im.writeList(b, "deny", im.deny, true)
	if len(im.rules) > 0 {
		b.WriteString("  rules:\n")
	}
	for i := range im.rules {
		im.rules[i].write(b)
	}
}

// writeList writes the calls. A comment names the lines of the file from which a call comes, if the previous call comes
// from other lines.
func (im *importer) writeList(b *strings.Builder, key string, calls []*call, names bool) {
	if len(calls) == 0 {
		return
	}
	var items []folded
	if names {
		for _, c := range calls {
			items = append(items, folded{c.name, c.from})
		}
	} else {
		items = fold(calls, im.free)
	}
	b.WriteString("  " + key + ":\n")
	last := ""
	for _, it := range items {
		at := lines(it.from)
		name := it.name
		if name[0] == '@' {
			name = strconv.Quote(name)
		}
		b.WriteString("    - " + name)
		if at != last {
			b.WriteString(at)
		}
		last = at
		b.WriteString("\n")
	}
}

// free reports whether an item for the call in allow would have no effect.
func (im *importer) free(name string) bool {
	if slices.ContainsFunc(im.rules, func(r rule) bool { return r.call == name }) {
		return true
	}
	return !slices.ContainsFunc(im.abis, func(a filter.Arch) bool { _, has := filter.Number(a, name); return has })
}

// lines returns a comment that names lines of the file, or "" if there are no lines.
func lines(from []int) string {
	if len(from) == 0 {
		return ""
	}
	return " # " + spans(from)
}

// spans returns "1, 4, 9", or "1 … 9" if there are many lines.
func spans(from []int) string {
	if len(from) > 4 {
		return strconv.Itoa(from[0]) + " … " + strconv.Itoa(from[len(from)-1])
	}
	text := make([]string, len(from))
	for i, n := range from {
		text[i] = strconv.Itoa(n)
	}
	return strings.Join(text, ", ")
}

func (r *rule) write(b *strings.Builder) {
	if head := r.comment(); head != "" {
		b.WriteString("    # " + head + "\n")
	}
	b.WriteString("    - " + r.call + ": " + scalar(r.expr) + "\n")
	if r.other != "" {
		b.WriteString("      else: " + r.other + "\n")
	}
}

// comment names the lines, and the arguments that the expression compares.
func (r *rule) comment() string {
	s := ""
	if len(r.from) > 0 {
		s = spans(r.from)
	}
	if !r.arguments {
		return s
	}
	for i, name := range filter.Args(r.call) {
		reg := "reg" + strconv.Itoa(i)
		if strings.Contains(r.expr, reg) {
			s += "; " + reg + " is " + name
		}
	}
	return s
}

// scalar writes an expression as a YAML scalar.
func scalar(expr string) string {
	if expr[0] == '!' {
		return strconv.Quote(expr)
	}
	return expr
}
