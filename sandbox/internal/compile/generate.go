package compile

// Files that programs expect in /etc, made for the sandbox's own ids, name and network.

import (
	"errors"
	"strconv"
	"strings"

	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
)

// generate is the text of a file by its name.
func (c *Compilation) generate(target string) (string, error) {
	_, name := paths.Split(target)
	switch name {
	case "passwd":
		return c.passwd(), nil
	case "group":
		text := "root:x:0:\n"
		if c.IDs.InGID != 0 {
			text += c.userName() + ":x:" + strconv.Itoa(c.IDs.InGID) + ":\n"
		}
		return text + "nogroup:x:65534:\n", nil
	case "hosts":
		return "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 " + c.hostnameText() + "\n", nil
	case "hostname":
		return c.hostnameText() + "\n", nil
	case "nsswitch.conf":
		return "passwd: files\ngroup: files\nhosts: files dns\n", nil
	case "resolv.conf":
		return c.resolvConf()
	}
	return "", errors.New("generate knows passwd, group, hosts, hostname, nsswitch.conf and resolv.conf, not " + name)
}

func (c *Compilation) passwd() string {
	home := c.Host.Home
	if home == "" {
		home = "/"
	}
	text := ""
	if c.IDs.InUID != 0 {
		text = "root:x:0:0:root:/:/bin/sh\n"
	}
	text += c.userName() + ":x:" + strconv.Itoa(c.IDs.InUID) + ":" + strconv.Itoa(c.IDs.InGID) + "::" + strings.NewReplacer(":", "_", "\n", "_").Replace(home) + ":/bin/sh\n"
	return text + "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"
}

// userName is the caller's name where it is a usual one: useradd(8).
func (c *Compilation) userName() string {
	name := c.Host.Name
	switch {
	case c.IDs.InUID == 0:
		return "root"
	case name == "" || name == "root" || len(name) > 32 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_-.ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "":
		return "user"
	}
	return name
}

// resolvConf is the host's where the network is the host's, and names no server where there is none.
func (c *Compilation) resolvConf() (string, error) {
	if c.OwnNet {
		return "# no network\n", nil
	}
	text, err := c.Host.Files.Read("/etc/resolv.conf", 64<<10)
	if err != nil {
		return "", errors.New("/etc/resolv.conf: " + fail.Bare(err).Error())
	}
	return string(text), nil
}
