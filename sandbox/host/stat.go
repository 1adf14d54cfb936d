package host

// This file calls stat(2) directly. A launch asks about a hundred names, and more than half of them do not exist.
// Unlike package os, this code allocates no memory for a name that does not exist.

import (
	"io/fs"
	"path"
	"syscall"
	"time"
)

// fileInfo implements fs.FileInfo. Its Sys returns a syscall.Stat_t.
type fileInfo struct {
	name string
	stat syscall.Stat_t
}

// Lstat describes a path without following a link at its end.
func (OSFiles) Lstat(p string) (fs.FileInfo, error) {
	var st syscall.Stat_t
	err := syscall.Lstat(p, &st)
	for err == syscall.EINTR {
		err = syscall.Lstat(p, &st)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "lstat", Path: p, Err: err}
	}
	return &fileInfo{path.Base(p), st}, nil
}

func (i *fileInfo) Name() string { return i.name }
func (i *fileInfo) Size() int64  { return i.stat.Size }
func (i *fileInfo) IsDir() bool  { return i.stat.Mode&syscall.S_IFMT == syscall.S_IFDIR }
func (i *fileInfo) Sys() any     { return &i.stat }

func (i *fileInfo) ModTime() time.Time {
	return time.Unix(i.stat.Mtim.Unix())
}

// kinds are the file types as package fs encodes them: inode(7).
var kinds = [16]fs.FileMode{
	syscall.S_IFIFO >> 12:  fs.ModeNamedPipe,
	syscall.S_IFCHR >> 12:  fs.ModeDevice | fs.ModeCharDevice,
	syscall.S_IFDIR >> 12:  fs.ModeDir,
	syscall.S_IFBLK >> 12:  fs.ModeDevice,
	syscall.S_IFLNK >> 12:  fs.ModeSymlink,
	syscall.S_IFSOCK >> 12: fs.ModeSocket,
}

func (i *fileInfo) Mode() fs.FileMode {
	mode := fs.FileMode(i.stat.Mode&0o777) | kinds[i.stat.Mode>>12&15]
	for _, b := range [...]struct {
		bit  uint32
		mode fs.FileMode
	}{{syscall.S_ISUID, fs.ModeSetuid}, {syscall.S_ISGID, fs.ModeSetgid}, {syscall.S_ISVTX, fs.ModeSticky}} {
		if i.stat.Mode&b.bit != 0 {
			mode |= b.mode
		}
	}
	return mode
}
