package sandbox

// Files that programs expect in /etc, made for the sandbox's own ids, name and network.

import (
	"errors"
	"strconv"
	"strings"

	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
)

// generate is the text of a file by its name.
func (c *compilation) generate(target string) (string, error) {
	_, name := paths.Split(target)
	switch name {
	case "passwd":
		return c.passwd(), nil
	case "group":
		text := "root:x:0:\n"
		if c.ids.inGID != 0 {
			text += c.userName() + ":x:" + strconv.Itoa(c.ids.inGID) + ":\n"
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

func (c *compilation) passwd() string {
	home := c.host.Home
	if home == "" {
		home = "/"
	}
	text := ""
	if c.ids.inUID != 0 {
		text = "root:x:0:0:root:/:/bin/sh\n"
	}
	text += c.userName() + ":x:" + strconv.Itoa(c.ids.inUID) + ":" + strconv.Itoa(c.ids.inGID) + "::" + strings.NewReplacer(":", "_", "\n", "_").Replace(home) + ":/bin/sh\n"
	return text + "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"
}

// userName is the caller's name where it is a usual one: useradd(8).
func (c *compilation) userName() string {
	name := c.host.Name
	switch {
	case c.ids.inUID == 0:
		return "root"
	case name == "" || name == "root" || len(name) > 32 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_-.ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "":
		return "user"
	}
	return name
}

// resolvConf is the host's where the network is the host's, and names no server where there is none.
func (c *compilation) resolvConf() (string, error) {
	if c.ownNet {
		return "# no network\n", nil
	}
	text, err := c.host.Files.Read("/etc/resolv.conf", 64<<10)
	if err != nil {
		return "", errors.New("/etc/resolv.conf: " + fail.Bare(err).Error())
	}
	return string(text), nil
}
