package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// suites lists Debian's kernels. Each is the cloud image of one suite, in its newest version when it is first fetched.
var suites = []struct{ kernel, suite string }{
	{"6.1", "bookworm"},
	{"6.12", "bookworm-backports"},
}

const (
	metaPackage = "linux-image-cloud-amd64"
	keyring     = "/usr/share/keyrings/debian-archive-keyring.gpg"
	modulesSize = "512M"
)

// A kernel is an unpacked kernel package. Nothing of it is installed.
type kernel struct {
	name    string // the name, such as 6.12
	dir     string // the directory with boot and lib/modules
	release string // the release that uname -r prints
}

func (k kernel) image() string   { return filepath.Join(k.dir, "boot", "vmlinuz-"+k.release) }
func (k kernel) modules() string { return filepath.Join(k.dir, "modules.ext4") } // a file system with lib/modules

// cacheDir returns the directory for unpacked kernels: CORDON_VM_CACHE, or cordon-vm in the user's cache directory.
func cacheDir() (string, error) {
	if dir := os.Getenv("CORDON_VM_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "cordon-vm"), err
}

// getKernel returns a kernel, and fetches it if it is not in the cache. A kernel's directory is either complete or
// does not exist.
func getKernel(name string) (kernel, error) {
	cache, err := cacheDir()
	if err != nil {
		return kernel{}, err
	}
	k := kernel{name: name, dir: filepath.Join(cache, name)}
	if _, err := os.Stat(k.dir); errors.Is(err, os.ErrNotExist) {
		if err := fetch(name, k.dir); err != nil && !errors.Is(err, os.ErrExist) { // then another process was faster
			return kernel{}, fmt.Errorf("kernel %s: %w", name, err)
		}
	}
	found, err := filepath.Glob(filepath.Join(k.dir, "boot", "vmlinuz-*"))
	if err != nil || len(found) != 1 {
		return kernel{}, fmt.Errorf("kernel %s: no single boot/vmlinuz-* in %s: remove that directory", name, k.dir)
	}
	k.release = strings.TrimPrefix(filepath.Base(found[0]), "vmlinuz-")
	return k, nil
}

// fetch downloads a kernel's package and unpacks it into dir. apt uses its own lists and settings in a directory that
// is removed afterwards. It checks the package against the sum in Debian's signed lists. The system's own sources and
// lists do not change.
func fetch(name, dir string) error {
	suite, err := suiteOf(name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), "fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	apt := private(work)
	from, err := mirror()
	if err != nil {
		return err
	}
	sources := fmt.Sprintf("deb [arch=amd64 signed-by=%s] %s %s main\n", keyring, from, suite)
	if err := errors.Join(os.MkdirAll(work+"/lists/partial", 0o755), os.MkdirAll(work+"/archives/partial", 0o755),
		os.WriteFile(work+"/sources.list", []byte(sources), 0o644)); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "vm: fetching %s of %s\n", metaPackage, suite)
	if _, err := output(work, "apt-get", append(apt, "-q", "update")...); err != nil {
		return err
	}
	image, err := dependency(work, apt)
	if err != nil {
		return err
	}
	if _, err := output(work, "apt-get", append(apt, "-q", "download", image)...); err != nil {
		return err
	}
	return unpack(work, dir)
}

func suiteOf(name string) (string, error) {
	var known []string
	for _, s := range suites {
		if s.kernel == name {
			return s.suite, nil
		}
		known = append(known, s.kernel)
	}
	return "", fmt.Errorf("not one of %s", strings.Join(known, ", "))
}

// private returns the options that make apt use only a given directory.
func private(dir string) []string {
	var options []string
	for _, o := range []string{
		"Dir::Etc::sourcelist=" + dir + "/sources.list", "Dir::Etc::sourceparts=-", "Dir::State::lists=" + dir + "/lists",
		"Dir::Cache=" + dir, "APT::Sandbox::User=", "APT::Architecture=amd64", "Acquire::Languages=none", "Acquire::Retries=3",
	} {
		options = append(options, "-o", o)
	}
	return options
}

// mirror returns where this machine gets Debian's packages from, according to apt's own sources.
func mirror() (string, error) {
	out, err := exec.Command("apt-get", "indextargets", "--format", "$(ORIGIN) $(COMPONENT) $(RELEASE) $(SITE)", "Created-By: Packages").Output()
	if err != nil {
		return "", fmt.Errorf("apt-get indextargets: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) == 4 && f[0] == "Debian" && f[1] == "main" && !strings.HasSuffix(f[2], "-security") {
			return f[3], nil
		}
	}
	return "", errors.New("apt's sources name no mirror of Debian: add one to /etc/apt/sources.list.d and run apt-get update")
}

// dependency returns the name of the image package that the metapackage depends on.
func dependency(dir string, apt []string) (string, error) {
	out, err := output(dir, "apt-cache", append(apt, "depends", metaPackage)...)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(out) {
		if image, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: "); ok {
			return image, nil
		}
	}
	return "", fmt.Errorf("apt-cache depends %s: names no image:\n%s", metaPackage, out)
}

// unpack unpacks the package in work into dir, and makes an index of its modules.
func unpack(work, dir string) error {
	packages, _ := filepath.Glob(work + "/*.deb")
	if len(packages) != 1 {
		return fmt.Errorf("%d packages were downloaded, not one", len(packages))
	}
	root := filepath.Join(work, "root")
	if _, err := output(work, "dpkg-deb", "-x", packages[0], root); err != nil {
		return err
	}
	releases, _ := filepath.Glob(root + "/lib/modules/*")
	if len(releases) != 1 {
		return fmt.Errorf("%s: holds modules of %d kernels, not one", filepath.Base(packages[0]), len(releases))
	}
	if _, err := output(work, "depmod", "-b", root, filepath.Base(releases[0])); err != nil {
		return err
	}
	if err := makeImage(filepath.Join(root, "lib", "modules"), filepath.Join(root, "modules.ext4"), modulesSize); err != nil {
		return err
	}
	return os.Rename(root, dir)
}

// output runs a program and returns what it printed. An error contains what the program wrote to stderr.
func output(dir, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s%s", name, err, out, stderr.Bytes())
	}
	return string(out), nil
}
