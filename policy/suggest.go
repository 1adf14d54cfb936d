package policy

// suggest returns the candidate that was probably meant by name, or "".
func suggest(name string, candidates []string) string {
	const longest = 40 // what is longer is no misspelt word
	if len(name) > longest {
		return ""
	}
	best, at := "", max(1, len(name)/3)+1
	for _, c := range candidates {
		if len(c) > longest {
			continue
		}
		if d := distance(name, c); d < at && d < len(c) {
			best, at = c, d
		}
	}
	return best
}

// didYouMean is the hint for suggest, or "".
func didYouMean(name string, candidates []string) string {
	if s := suggest(name, candidates); s != "" {
		return "did you mean " + Quote(s) + "?"
	}
	return ""
}

// Suggest returns the candidate that was probably meant by name, or "" where none is close.
func Suggest(name string, candidates []string) string { return suggest(name, candidates) }

// distance counts the insertions, deletions, substitutions and swaps of neighbours that turn a into b.
func distance(a, b string) int {
	var older, old, row [42]int
	for j := 0; j <= len(b); j++ {
		old[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if lower(a[i-1]) == lower(b[j-1]) {
				cost = 0
			}
			row[j] = min(old[j]+1, row[j-1]+1, old[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
		older, old = old, row
	}
	return old[len(b)]
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}
