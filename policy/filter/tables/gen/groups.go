package main

import (
	"bytes"
	"fmt"
	"log"
	"sort"
	"strings"
)

// group is an entry of groups.txt.
type group struct {
	name, about string
	items       []string
}

func readGroups(name string) (groups []*group) {
	lines(name, func(l string) {
		if l[0] == '@' {
			n, about, ok := strings.Cut(l, ": ")
			if !ok {
				log.Fatalf("groups.txt: %s: no description", l)
			}
			groups = append(groups, &group{name: n, about: about})
			return
		}
		g := groups[len(groups)-1]
		g.items = append(g.items, strings.Fields(l)...)
	})
	groups = append(groups, &group{name: "@known", about: "every call in the tables"})
	sort.Slice(groups, func(i, j int) bool { return groups[i].name < groups[j].name })
	return groups
}

// members adds the calls of a group to into. It resolves the groups within the group.
func members(g *group, all map[string]*group, into map[string]bool) {
	for _, it := range g.items {
		if it[0] != '@' {
			into[it] = true
			continue
		}
		if all[it] == nil || all[it] == g {
			log.Fatalf("groups.txt: %s: no group %s", g.name, it)
		}
		members(all[it], all, into)
	}
}

func writeGroups(b *bytes.Buffer, groups []*group, calls []call) {
	id, all, placed := ids(calls), map[string]*group{}, map[string]bool{}
	for _, g := range groups {
		if all[g.name] != nil {
			log.Fatalf("groups.txt: %s twice", g.name)
		}
		all[g.name] = g
	}
	words := (len(calls) + 63) / 64
	sets := make([][]uint64, len(groups))
	for i, g := range groups {
		m := map[string]bool{}
		if g.name == "@known" {
			for _, c := range calls {
				m[c.name] = true
			}
		} else {
			members(g, all, m)
		}
		sets[i] = make([]uint64, words)
		for n := range m {
			k, ok := id[n]
			if !ok {
				log.Fatalf("groups.txt: %s: unknown call %s", g.name, n)
			}
			sets[i][k/64] |= 1 << (k % 64)
			placed[n] = placed[n] || g.name != "@known" && g.name != "@container"
		}
	}
	for _, c := range calls {
		if !placed[c.name] {
			log.Fatalf("groups.txt: %s is in no group", c.name)
		}
	}
	fmt.Fprintf(b, "const NumGroups = %d\n\n// GroupNames is sorted; GroupAbout and GroupSets follow it.\nvar GroupNames = [NumGroups]string{\n", len(groups))
	for _, g := range groups {
		fmt.Fprintf(b, "%q,\n", g.name)
	}
	b.WriteString("}\n\nvar GroupAbout = [NumGroups]string{\n")
	for _, g := range groups {
		fmt.Fprintf(b, "%q,\n", g.about)
	}
	b.WriteString("}\n\nvar GroupSets = [NumGroups]CallSet{\n")
	for i := range groups {
		b.WriteByte('{')
		for _, w := range sets[i] {
			fmt.Fprintf(b, "%#x,", w)
		}
		fmt.Fprintf(b, "}, // %s\n", groups[i].name)
	}
	b.WriteString("}\n")
}
