package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"cordon/tests/scratch"
)

const (
	memory       = "3G"
	checkoutSize = "4G" // sparse
)

// A machine describes one boot of a virtual machine.
type machine struct {
	kernel   kernel
	root     string // the image of the root file system
	checkout string
	orders   orders
	files    map[string]string // maps a name in the initramfs to a file here
	timeout  time.Duration
	out      io.Writer
}

// run boots the machine, waits until it ends, and leaves no process and no file.
func (m machine) run(ctx context.Context) (outcome, error) {
	runtime.LockOSThread() // the parent-death signals depend on this thread
	defer runtime.UnlockOSThread()
	dir, err := scratch.Dir("/var/tmp", "vm")
	if err != nil {
		return outcome{}, err
	}
	defer os.RemoveAll(dir)
	if err := m.prepare(dir); err != nil {
		return outcome{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	var stderr strings.Builder
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", m.args(dir)...)
	cmd.Stdout, cmd.Stderr = struct{ io.Writer }{m.out}, &stderr // a pipe, because opening it again does not truncate
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)                // for the disks' snapshots
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	err = cmd.Run()
	if ctx.Err() != nil {
		err = fmt.Errorf("%w after %v", ctx.Err(), m.timeout)
	}
	data, _ := os.ReadFile(dir + "/status")
	var o outcome
	if json.Unmarshal(data, &o) == nil && err == nil {
		if o.Error != "" {
			return o, fmt.Errorf("init: %s", o.Error)
		}
		return o, nil
	}
	if err == nil {
		err = errors.New("the machine ended without saying how")
	}
	return outcome{}, fmt.Errorf("kernel %s: %w\n%s%s", m.kernel.name, err, stderr.String(), lastLines(dir+"/console", 40))
}

// prepare makes the disk of the checkout, including the files built in bin, and the initramfs.
func (m machine) prepare(dir string) error {
	list, err := output(m.checkout, "git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	if err != nil {
		return err
	}
	names := strings.Split(strings.TrimSuffix(list, "\x00"), "\x00")
	tree := dir + "/tree"
	for _, name := range append(names, built(m.checkout)...) {
		if err := copyFile(filepath.Join(tree, name), filepath.Join(m.checkout, name)); err != nil {
			return err
		}
	}
	if err := makeImage(tree, dir+"/checkout.ext4", checkoutSize); err != nil {
		return err
	}
	return initramfs(dir+"/initramfs", m.kernel, m.orders, m.files)
}

// built returns the files in bin.
func built(checkout string) []string {
	var names []string
	filepath.WalkDir(filepath.Join(checkout, "bin"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			name, _ := filepath.Rel(checkout, path)
			names = append(names, name)
		}
		return nil
	})
	return names
}

// copyFile copies a file or a link, if it still exists.
func copyFile(to, from string) error {
	info, err := os.Lstat(from)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if info.Mode()&os.ModeSymlink != 0 {
		target, err := os.Readlink(from)
		return errors.Join(err, os.Symlink(target, to))
	}
	data, err := os.ReadFile(from)
	return errors.Join(err, os.WriteFile(to, data, info.Mode().Perm()|0o444))
}

func (m machine) args(dir string) []string {
	processors := "2"
	if m.orders.Systemd { // systemd sets quotas of processor time: see keepQuotas
		processors = "1"
	}
	const cmdline = "console=ttyS0 no_timer_check panic=-1 oops=panic quiet loglevel=4 hugepages=16"
	disk := func(image string) string { // the disk forgets what is written
		return "if=virtio,format=raw,snapshot=on,cache=unsafe,discard=unmap,file=" + image
	}
	return []string{
		"-nodefaults", "-no-reboot", "-display", "none", "-machine", "pc", "-m", memory, "-smp", processors,
		// cx16=off: QEMU 7.2 emulates cmpxchg16b wrongly, and the allocator of Linux 6.12 uses it. thread=single: one
		// thread emulates both processors in turn. With one thread for each, a processor may run an instruction of
		// the kernel that the other processor has only half patched, and traps (invalid opcode in Linux 6.12's
		// scheduler). It also takes a quarter more time.
		"-accel", "tcg,thread=single", "-cpu", "max,cx16=off",
		"-kernel", m.kernel.image(), "-initrd", dir + "/initramfs", "-append", cmdline,
		"-serial", "file:" + dir + "/console",
		"-drive", disk(m.root), "-drive", disk(dir + "/checkout.ext4"), "-drive", disk(m.kernel.modules()),
		"-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
		"-chardev", "file,id=output,path=/proc/self/fd/1", "-device", "virtserialport,chardev=output,name=output",
		"-chardev", "file,id=status,path=" + dir + "/status", "-device", "virtserialport,chardev=status,name=status",
	}
}

// lastLines returns the end of a file, for a person to read.
func lastLines(path string, n int) string {
	data, _ := os.ReadFile(path)
	lines := strings.Split(strings.TrimRight(strings.ReplaceAll(string(data), "\r", ""), "\n"), "\n")
	return fmt.Sprintf("last lines of %s:\n%s\n", filepath.Base(path), strings.Join(lines[max(0, len(lines)-n):], "\n"))
}
