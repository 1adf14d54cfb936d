package ledger

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
)

// header is the first line of the records. Each further line is a record. Times are in nanoseconds of the real-time
// clock:
//
//	run ID START BOOT DEV INO "PATH"   run ID began and could write PATH; one line per path; BOOT is CLOCK_BOOTTIME then
//	end ID END                         run ID ended
//	hid ID "PATH"                      run ID could neither see nor replace the directory PATH
//	from ID START                      the task of run ID was let go; before the run's START if the clock was set back
//	was START END DEV INO "PATH"       runs that have ended, merged
const header = "cordon-runs 1\n"

const (
	maxSpans = 32   // for one directory; if there are more, the closest spans are merged
	maxDirs  = 2048 // if there are more, the directories written longest ago are merged into the directories above
	open     = int64(math.MaxInt64)
)

// span is a time during which a directory could be written.
type span struct {
	start, end int64 // end is the constant open while the run goes on
	id, boot   int64 // the run's id, and the boot clock at its start; id is 0 for merged runs
	begun      int64 // when that run was given the directory
}

// dir is a directory or a file that runs could write.
type dir struct {
	path     string
	dev, ino uint64
	spans    []span
}

type key struct {
	path     string
	dev, ino uint64
}

// runs holds all records.
type runs struct {
	dirs []*dir
	at   map[key]*dir
	// hid lists, by a run's id, the directories that the run could not reach, until the run is merged.
	hid map[int64][]string
}

var errText = errors.New("the file is not what cordon wrote")

// parse parses the records. If the last line is incomplete, a launcher was killed while it wrote the line, and so its
// task never started.
func parse(text string) (*runs, error) {
	r := &runs{at: map[key]*dir{}, hid: map[int64][]string{}}
	rest, ok := strings.CutPrefix(text, header)
	if !ok && text != "" {
		return nil, errText
	}
	byID := map[int64][]*dir{}
	for line := range strings.Lines(rest) {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		if err := r.line(line[:len(line)-1], byID); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *runs) line(line string, byID map[int64][]*dir) error {
	kind, rest, _ := strings.Cut(line, " ")
	want := map[string]int{"run": 5, "was": 4, "end": 2, "from": 2, "hid": 1}[kind]
	f := strings.SplitN(rest, " ", want+1)
	var n [5]int64
	if want == 0 || len(f) < want {
		return errText
	}
	for i := range want {
		v, err := strconv.ParseUint(f[i], 10, 64)
		if err != nil {
			return errText
		}
		n[i] = int64(v)
	}
	switch kind {
	case "run", "was", "hid":
		if len(f) != want+1 {
			return errText
		}
		path, err := strconv.Unquote(f[want])
		if err != nil {
			return errText
		}
		if kind == "hid" {
			r.hid[n[0]] = append(r.hid[n[0]], path)
			return nil
		}
		s := span{start: n[0], end: n[1]}
		if kind == "run" {
			s = span{start: n[1], end: open, id: n[0], boot: n[2], begun: n[1]}
		}
		d := r.add(key{path, uint64(n[want-2]), uint64(n[want-1])}, s)
		if s.id != 0 {
			byID[s.id] = append(byID[s.id], d)
		}
	case "end":
		change(byID[n[0]], n[0], func(s *span) { s.end = max(n[1], s.start) })
	case "from":
		change(byID[n[0]], n[0], func(s *span) { s.start = n[1] })
	}
	return nil
}

func change(dirs []*dir, id int64, with func(*span)) {
	for _, d := range dirs {
		for i := range d.spans {
			if d.spans[i].id == id {
				with(&d.spans[i])
			}
		}
	}
}

func (r *runs) add(k key, s span) *dir {
	d := r.at[k]
	if d == nil {
		d = &dir{path: k.path, dev: k.dev, ino: k.ino}
		r.at[k] = d
		r.dirs = append(r.dirs, d)
	}
	d.spans = append(d.spans, s)
	return d
}

// unended calls with for every run that has no end. The run's end is then what with returns.
func (r *runs) unended(with func(id int64) int64) {
	ends := map[int64]int64{}
	for _, d := range r.dirs {
		for i := range d.spans {
			s := &d.spans[i]
			if s.id == 0 || s.end != open {
				continue
			}
			end, ok := ends[s.id]
			if !ok {
				end = with(s.id)
				ends[s.id] = end
			}
			s.end = end
		}
	}
}

// merge makes the records shorter. The merged records still cover everything that the records covered before.
func (r *runs) merge() {
	for _, d := range r.dirs {
		d.merge()
	}
	for before := math.MaxInt; ; r.fold() {
		size := len(r.text())
		if len(r.dirs) <= maxDirs && size <= maxRuns/2 || size >= before {
			return
		}
		before = size
	}
}

// last returns the end of the span that ended last.
func (d *dir) last() int64 {
	var last int64
	for _, s := range d.spans {
		last = max(last, s.end)
	}
	return last
}

// merge joins spans that overlap. If more than maxSpans remain, it also joins the spans between which there is the
// least time. It does not join the span of a run that goes on, because the end of that run is still to be written.
func (d *dir) merge() {
	slices.SortFunc(d.spans, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	var ended, going []span
	for _, s := range d.spans {
		switch {
		case s.end == open:
			going = append(going, s)
		case len(ended) > 0 && s.start <= ended[len(ended)-1].end:
			ended[len(ended)-1].end = max(ended[len(ended)-1].end, s.end)
		default:
			ended = append(ended, span{start: s.start, end: s.end})
		}
	}
	for len(ended) > maxSpans {
		least := 1
		for i := 2; i < len(ended); i++ {
			if ended[i].start-ended[i-1].end < ended[least].start-ended[least-1].end {
				least = i
			}
		}
		ended[least-1].end = max(ended[least-1].end, ended[least].end)
		ended = slices.Delete(ended, least, least+1)
	}
	d.spans = append(ended, going...)
}

// fold merges half of the directories into the directories above them. It takes those that were written longest ago.
func (r *runs) fold() {
	old := slices.Clone(r.dirs)
	slices.SortStableFunc(old, func(a, b *dir) int { return cmp.Compare(a.last(), b.last()) })
	folded := &runs{at: map[key]*dir{}, hid: r.hid}
	for i, d := range old {
		k := key{d.path, d.dev, d.ino}
		if i < len(old)/2 && d.last() != open && d.path != "/" {
			k = key{path: d.path[:max(1, strings.LastIndexByte(d.path, '/'))]}
		}
		for _, s := range d.spans {
			folded.add(k, s)
		}
	}
	for _, d := range folded.dirs {
		d.merge()
	}
	*r = *folded
}

// text returns the records as text, which parse can read.
func (r *runs) text() []byte {
	b := []byte(header)
	for _, d := range r.dirs {
		for _, s := range d.spans {
			if s.id != 0 && s.end == open {
				b = appendRun(b, s, d)
				for _, hid := range r.hid[s.id] {
					b = appendHid(b, s.id, hid)
				}
				continue
			}
			b = append(b, "was"...)
			b = appendNumbers(b, uint64(s.start), uint64(s.end), d.dev, d.ino)
			b = append(strconv.AppendQuote(append(b, ' '), d.path), '\n')
		}
	}
	return b
}

func appendRun(b []byte, s span, d *dir) []byte {
	b = append(b, "run"...)
	b = appendNumbers(b, uint64(s.id), uint64(s.start), uint64(s.boot), d.dev, d.ino)
	return append(strconv.AppendQuote(append(b, ' '), d.path), '\n')
}

func appendHid(b []byte, id int64, path string) []byte {
	b = appendNumbers(append(b, "hid"...), uint64(id))
	return append(strconv.AppendQuote(append(b, ' '), path), '\n')
}

func appendLine(b []byte, kind string, n ...uint64) []byte {
	return append(appendNumbers(append(b, kind...), n...), '\n')
}

func appendNumbers(b []byte, list ...uint64) []byte {
	for _, n := range list {
		b = strconv.AppendUint(append(b, ' '), n, 10)
	}
	return b
}
