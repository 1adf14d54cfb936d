package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// textsDir is the directory, in a place for records, that holds the texts of profiles that were used or that the user
// trusts. It has one file for each path:
//
//	used TIME "PATH"      or: trusted TIME "PATH"
//	the text
const textsDir = "profiles"

// maxTexts bounds how many texts are kept; the oldest are removed. If the text of a profile was removed, cordon cannot
// show what has changed in the profile and shows all of it, and the user's trust in the profile is lost.
const maxTexts = 512

// Text is the text of a profile as it was used or trusted.
type Text struct {
	Path    string // without links
	Data    []byte
	Trusted bool  // the user trusts this text: it is used even if a task may have written it
	At      int64 // when it was used or trusted

	Doubtful bool // a task may have written it, and the caller has used it all the same: it is not kept for comparison
}

func textName(path string) string {
	sum := sha256.Sum256([]byte(path))
	return hex.EncodeToString(sum[:16])
}

func openTexts(place int, makeIt bool) (int, error) {
	if makeIt {
		err := unix.Mkdirat(place, textsDir, 0o700)
		if err == nil {
			err = unix.Fchmodat(place, textsDir, 0o700, 0) // whatever the umask is
		}
		if err != nil && err != unix.EEXIST {
			return -1, err
		}
	}
	return unix.Openat(place, textsDir, openDir, 0)
}

// known returns the text that is stored in a place for a path, or nil if there is none.
func known(place int, path string) *Text {
	dir, err := openTexts(place, false)
	if err != nil {
		return nil
	}
	defer unix.Close(dir)
	fd, err := unix.Openat(dir, textName(path), unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	var all bytes.Buffer
	if _, err := all.ReadFrom(f); err != nil {
		return nil
	}
	return parseText(all.Bytes(), path)
}

// parseText parses a file of textsDir. It returns nil if the file is not about that path.
func parseText(all []byte, path string) *Text {
	head, data, _ := bytes.Cut(all, []byte("\n"))
	f := strings.SplitN(string(head), " ", 3)
	if len(f) != 3 || f[0] != "used" && f[0] != "trusted" || f[2] != strconv.Quote(path) {
		return nil
	}
	at, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil {
		return nil
	}
	return &Text{Path: path, Data: data, Trusted: f[0] == "trusted", At: at}
}

// keep stores a text in a place. If the same text is already stored, keep does nothing, unless t is trusted and the
// stored text is not.
func keep(place int, t Text) error {
	if old := known(place, t.Path); old != nil && bytes.Equal(old.Data, t.Data) && (old.Trusted || !t.Trusted) {
		return nil
	}
	dir, err := openTexts(place, true)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	kind := "used "
	if t.Trusted {
		kind = "trusted "
	}
	head := kind + strconv.FormatInt(time.Now().UnixNano(), 10) + " " + strconv.Quote(t.Path) + "\n"
	if err := replace(dir, textName(t.Path), append([]byte(head), t.Data...)); err != nil {
		return err
	}
	prune(dir)
	return nil
}

// distrust marks a trusted text as a text that was only used.
func distrust(place int, path string) error {
	old := known(place, path)
	if old == nil || !old.Trusted {
		return nil
	}
	dir, err := openTexts(place, false)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	head := "used " + strconv.FormatInt(old.At, 10) + " " + strconv.Quote(path) + "\n"
	return replace(dir, textName(path), append([]byte(head), old.Data...))
}

// prune removes the oldest texts if there are more than maxTexts.
func prune(dir int) {
	fd, err := unix.Openat(dir, ".", openDir, 0)
	if err != nil {
		return
	}
	f := os.NewFile(uintptr(fd), textsDir)
	defer f.Close()
	list, _ := f.Readdir(-1) // a file that vanishes meanwhile does not matter
	if len(list) <= maxTexts {
		return
	}
	slices.SortFunc(list, func(a, b os.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, i := range list[:len(list)-maxTexts] {
		_ = unix.Unlinkat(dir, i.Name(), 0)
	}
}

// Trust stores a text that the user trusts, in the first available place.
func Trust(places []Place, t Text) error {
	fd, err := openFirst(places)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	t.Trusted = true
	unlock, err := exclusive(fd)
	if err == nil {
		err = keep(fd, t)
		unlock()
	}
	if err != nil {
		return &Error{"trust " + strconv.Quote(t.Path) + ", in " + Where(fd), err, remedy}
	}
	return nil
}
