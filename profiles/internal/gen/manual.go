package gen

import (
	"strings"
	"time"

	"cordon/policy"
	"cordon/policy/mdoc"
)

// Manual returns the manual page cordon-profile(5). of is the version of cordon that the page describes.
func Manual(of string, date time.Time) []byte {
	p := mdoc.New("cordon-profile", "5", of, date)
	p.Name("cordon-profile", "the language of cordon's profiles")
	p.Section("DESCRIPTION")
	p.Text(manualHead)
	keys := policy.Language()
	p.Section("KEYS")
	p.List(entries(keys))
	for _, k := range keys {
		for _, f := range k.Forms {
			p.Section(k.Name + ": {" + f.Keys[0].Name + ": …}")
			p.Text(sentence(f.Doc))
			p.List(entries(f.Keys))
		}
		if k.Forms == nil && k.Keys != nil {
			p.Section(k.Name + ":")
			p.Text(sentence(k.Doc))
			p.List(entries(k.Keys))
		}
		for _, sub := range k.Keys {
			if sub.Keys != nil {
				p.Subsection(k.Name + "." + sub.Name + ": as a mapping")
				p.List(entries(sub.Keys))
			}
		}
	}
	p.Section("FILES")
	p.List([]mdoc.Entry{
		{Name: "~/.config/cordon/profiles/NAME.yaml", Text: "The user's profiles, found first. XDG_CONFIG_HOME replaces ~/.config."},
		{Name: "/etc/cordon/profiles/NAME.yaml", Text: "The profiles of this machine."},
	})
	p.Section("EXAMPLES")
	p.Literal(manualExample)
	p.See([]string{"cordon(1)", "cordon-profile(1)", "cordon-run(1)"})
	return p.Bytes()
}

const manualHead = `
A profile is a YAML file that says what a program in a sandbox can see, write, call and use. Its name is that of the
file. It may extend other profiles: lists are joined, and a later value replaces an earlier one.

cordon refuses unknown keys, and values that would do nothing. The command cordon profile check reads a profile as a
run would, and cordon profile show --effective prints all that it means.

The value of a key is shown in italics. The flag that sets the same field for a single run is named at the end.`

const manualExample = `
version: 1
name: tests
about: The tests of a project, without a network.
extends: [build]
mounts:
  - {bind: ~/go/pkg/mod}
limits: {memory: 2GiB, pids: 512, wall: 30m}`

// entries describes the keys of a mapping.
func entries(keys []policy.Key) (list []mdoc.Entry) {
	for _, k := range keys {
		text := sentence(k.Doc)
		for _, more := range []struct{ before, value string }{{"The default is ", k.Default}, {"Example: ", k.Example}} {
			if more.value != "" {
				text += " " + sentence(more.before+more.value)
			}
		}
		if k.Flag != "" {
			text += " The flag is --" + k.Flag + "."
		}
		list = append(list, mdoc.Entry{Name: k.Name + ":", Value: strings.ReplaceAll(typeOf(k), "`", ""), Text: text})
	}
	return list
}

// sentence makes a sentence out of the text of a key, which has no full stop.
func sentence(text string) string {
	if text == "" || strings.HasSuffix(text, ".") {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:] + "."
}
