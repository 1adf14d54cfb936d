package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

//go:embed initramfs.sh
var initramfsTest []byte

// modules lists the kernel modules that the machine needs, in the order of loading, dependencies first.
var modules = []string{"virtio_pci", "virtio_blk", "virtio_console", "virtio_rng", "overlay", "zram", "bfq", "loop"}

// cpio writes an archive in newc format (Documentation/driver-api/early-userspace/buffer-format.rst).
type cpio struct {
	w    io.Writer
	ino  int
	size int
	err  error
	dirs map[string]bool
}

func (c *cpio) write(p []byte) {
	if c.err == nil {
		_, c.err = c.w.Write(p)
		c.size += len(p)
	}
}

func (c *cpio) pad() { c.write(make([]byte, -c.size&3)) }

// entry adds a file. The name is relative to the root.
func (c *cpio) entry(name string, mode int, data []byte) {
	c.ino++
	c.write(fmt.Appendf(nil, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		c.ino, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0))
	c.write(append([]byte(name), 0))
	c.pad()
	c.write(data)
	c.pad()
}

// file adds a regular file and the directories above it.
func (c *cpio) file(name string, mode int, data []byte) {
	c.dir(path.Dir(name))
	c.entry(name, 0o100000|mode, data)
}

func (c *cpio) dir(name string) {
	if name == "." || c.dirs[name] {
		return
	}
	c.dir(path.Dir(name))
	c.dirs[name] = true
	c.entry(name, 0o40755, nil)
}

func (c *cpio) copy(name, from string) {
	info, err := os.Stat(from)
	var data []byte
	if err == nil {
		data, err = os.ReadFile(from)
	}
	if err != nil {
		c.err = err
		return
	}
	c.file(name, int(info.Mode().Perm()), data)
}

func (c *cpio) end() error {
	c.entry("TRAILER!!!", 0, nil)
	return c.err
}

// initramfs writes the initramfs: this program as init, the kernel's modules, the orders, and the files that plain
// jobs need.
func initramfs(to string, k kernel, o orders, files map[string]string) error {
	var buf bytes.Buffer
	c := &cpio{w: &buf, dirs: map[string]bool{}}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c.copy("init", self)
	for _, dir := range []string{"proc", "sys", "dev", "new", "root", "tmp", "run", "etc"} {
		c.dir(dir)
	}
	paths, err := moduleFiles(k)
	if err != nil {
		return err
	}
	for i, p := range paths {
		c.copy(fmt.Sprintf("modules/%02d-%s", i, filepath.Base(p)), p)
	}
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	c.file("orders.json", 0o644, data)
	c.file("initramfs.sh", 0o644, initramfsTest)
	for name, from := range files {
		c.copy(name, from)
	}
	if err := c.end(); err != nil {
		return err
	}
	return os.WriteFile(to, buf.Bytes(), 0o644)
}

// moduleFiles returns the files of the modules and of all modules that they depend on, in the order to load them.
func moduleFiles(k kernel) ([]string, error) {
	out, err := output("", "modprobe", append([]string{"-d", k.dir, "-S", k.release, "--show-depends", "-a"}, modules...)...)
	if err != nil {
		return nil, err
	}
	var files []string
	seen := map[string]bool{}
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "insmod" && !seen[f[1]] {
			seen[f[1]] = true
			files = append(files, f[1])
		}
	}
	return files, nil
}
