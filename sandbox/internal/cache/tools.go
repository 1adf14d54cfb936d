package cache

import (
	"strings"

	"cordon/policy"
	"cordon/sandbox/internal/paths"
)

// tool describes the caches of a tool.
type tool struct {
	name     string
	dirs     []dir
	programs []string // the programs that use it
	files    []string // files of a project that uses it
	seeds    []Seed   // directories in the caller's cache that are copied, as relative paths
	// more makes the other settings that the tool needs. used reports whether the project seems to use the tool.
	more func(b *builder, t *tool, used bool)
}

// dir is one cache of a tool.
type dir struct {
	name     string                  // the name in the project's directory
	variable string                  // the variable that names it; "" if there is none
	usual    string                  // the path below the home, if no variable names it
	shown    string                  // the part that an overlay shows; "" for all of it
	find     func(b *builder) string // returns the path that other variables name, or ""
}

var tools = [...]tool{
	// Go's build cache cannot read from a second source: go help cache. The module cache can, because the downloads in
	// it have the form of a proxy: go help goproxy.
	{name: "go", programs: []string{"go", "make"}, files: []string{"go.mod"}, more: goMore,
		dirs: []dir{{name: "go-build", variable: "GOCACHE", usual: ".cache/go-build"}, {name: "go-mod", variable: "GOMODCACHE", usual: "go/pkg/mod", find: goMod}}},
	{name: "ccache", programs: []string{"ccache"},
		dirs: []dir{{name: "ccache", variable: "CCACHE_DIR", usual: ".cache/ccache", find: oldCcache}}},
	// CARGO_HOME also holds the caller's credentials, configuration and programs. These must not be copied.
	{name: "cargo", programs: []string{"cargo"}, files: []string{"Cargo.toml"}, more: cargoMore,
		dirs:  []dir{{name: "cargo", variable: "CARGO_HOME", usual: ".cargo", shown: "registry"}},
		seeds: []Seed{{"registry/index", "registry/index"}, {"registry/cache", "registry/cache"}}},
	{name: "npm", programs: []string{"npm", "npx"}, files: []string{"package.json", "package-lock.json"}, more: npmMore,
		dirs:  []dir{{name: "npm", variable: "npm_config_cache", usual: ".npm"}},
		seeds: []Seed{{"_cacache", "_cacache"}}},
	// npm would warn of a variable for pnpm, so a file of pnpm's configuration names the store.
	{name: "pnpm", programs: []string{"pnpm"}, files: []string{"pnpm-lock.yaml"}, more: pnpmMore,
		dirs: []dir{{name: "pnpm", usual: ".local/share/pnpm/store"}}},
	{name: "pip", programs: []string{"pip", "pip3"}, files: []string{"requirements.txt", "pyproject.toml", "setup.py"},
		dirs:  []dir{{name: "pip", variable: "PIP_CACHE_DIR", usual: ".cache/pip"}},
		seeds: []Seed{{"http", "http"}, {"http-v2", "http-v2"}, {"wheels", "wheels"}}},
	// Entries of uv's cache are links with the full path of the cache, so a copy is of no use.
	{name: "uv", programs: []string{"uv", "uvx"}, files: []string{"uv.lock"}, more: uvMore,
		dirs: []dir{{name: "uv", variable: "UV_CACHE_DIR", usual: ".cache/uv"}}},
	{name: "gradle", programs: []string{"gradle", "gradlew"}, files: []string{"gradlew", "build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts"}, more: gradleMore,
		dirs:  []dir{{name: "gradle", variable: "GRADLE_USER_HOME", usual: ".gradle", shown: "caches"}},
		seeds: []Seed{{"wrapper/dists", "wrapper/dists"}}},
	// Maven 3.9 reads a second repository. Older versions have only one repository, so it is copied.
	{name: "maven", programs: []string{"mvn", "mvnw"}, files: []string{"pom.xml"}, more: mavenMore,
		dirs:  []dir{{name: "maven", usual: ".m2/repository"}},
		seeds: []Seed{{"", ""}}},
}

// goMod returns the caller's module cache: go help environment.
func goMod(b *builder) string {
	first, _, _ := strings.Cut(b.Caller("GOPATH"), ":")
	if path := paths.Home(first); path != "" {
		return paths.Join(path, "pkg/mod")
	}
	return ""
}

// oldCcache returns ~/.ccache if that directory exists, as ccache does.
func oldCcache(b *builder) string {
	old := paths.Join(b.Home, ".ccache")
	if _, isDir := b.Exists(old); isDir {
		return old
	}
	return ""
}

// goMore lets go fetch modules from the caller's downloads. Without a network, go cannot ask a checksum database. That
// is safe, because the caller's go asked it for these downloads.
func goMore(b *builder, t *tool, _ bool) {
	b.extend("GOFLAGS", "-modcacherw")
	rest := goProxy(b)
	if b.offline() {
		rest = "off"
		b.setenv("GOSUMDB", "off")
	}
	if rest == "" {
		return // go uses its own default
	}
	if downloads := paths.Join(b.own(&t.dirs[1]), "cache/download"); b.show(downloads) {
		rest = "file://" + escape(downloads) + "," + rest
	}
	b.setenv("GOPROXY", rest)
}

// goProxy returns the place from which the caller's go fetches modules: GOPROXY, or the setting of `go env -w` or of
// the installation: go help environment. It returns "" if none is set, or if the address contains a user and a
// password.
func goProxy(b *builder) string {
	proxy := b.Caller("GOPROXY")
	config := paths.Home(b.Caller("XDG_CONFIG_HOME"))
	if config == "" {
		config = paths.Join(b.Home, ".config")
	}
	for _, file := range [...]string{config + "/go/env", paths.Home(b.Caller("GOROOT")) + "/go.env", "/usr/local/go/go.env", "/usr/lib/go/go.env"} {
		if proxy != "" || b.offline() || file == "/go.env" {
			continue
		}
		for line := range strings.Lines(b.Read(file)) {
			if value, ok := strings.CutPrefix(line, "GOPROXY="); ok {
				proxy = strings.TrimSpace(value)
			}
		}
	}
	if strings.Contains(proxy, "@") {
		return ""
	}
	return proxy
}

// escape encodes a path for a URL in a list whose separators are commas and bars.
func escape(path string) string {
	const digits = "0123456789ABCDEF"
	var out strings.Builder
	for _, c := range []byte(path) {
		if c == '/' || c == '.' || c == '_' || c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			out.WriteByte(c)
		} else {
			out.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return out.String()
}

func cargoMore(b *builder, _ *tool, _ bool) {
	if b.offline() {
		b.setenv("CARGO_NET_OFFLINE", "true")
	}
}

func npmMore(b *builder, _ *tool, _ bool) {
	b.setenv("npm_config_prefer_offline", "true")
	if b.offline() { // otherwise npm tries for more than a minute
		b.setenv("npm_config_offline", "true")
	}
}

func pnpmMore(b *builder, t *tool, used bool) {
	if !used {
		return
	}
	store := paths.Join(b.set.Dir, t.dirs[0].name)
	config := paths.Join(b.Home, ".config/pnpm")
	b.set.Mounts = append(b.set.Mounts,
		policy.Mount{Kind: policy.MountFile, Target: config + "/rc", Content: "store-dir=" + store + "\n", Optional: true, Pos: b.set.Pos},
		policy.Mount{Kind: policy.MountFile, Target: config + "/config.yaml", Content: "storeDir: " + store + "\n", Optional: true, Pos: b.set.Pos})
}

func uvMore(b *builder, _ *tool, _ bool) {
	b.setenv("UV_LINK_MODE", "copy") // links cannot lead from the project to the cache, which is another mount
	if b.offline() {
		b.setenv("UV_OFFLINE", "1")
	}
}

func gradleMore(b *builder, t *tool, used bool) {
	caches := paths.Join(b.own(&t.dirs[0]), "caches")
	if used && b.show(paths.Join(caches, "modules-2")) {
		b.setenv("GRADLE_RO_DEP_CACHE", caches)
	}
}

func mavenMore(b *builder, t *tool, used bool) {
	options := "-Dmaven.repo.local=" + paths.Join(b.set.Dir, t.dirs[0].name)
	if own := b.own(&t.dirs[0]); used && b.show(own) {
		options += " -Dmaven.repo.local.tail=" + own + " -Dmaven.repo.local.tail.ignoreAvailability=true"
	}
	if strings.ContainsAny(b.set.Dir+b.Home, " \t\n\"'") {
		return // the options would be words of a shell
	}
	b.extend("MAVEN_OPTS", options)
}
