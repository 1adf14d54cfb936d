package cache

import (
	"strings"

	"cordon/policy"
	"cordon/sandbox/internal/paths"
)

// tool says what a tool calls its caches.
type tool struct {
	name     string
	dirs     []dir
	programs []string // the programs that use it
	files    []string // files of a project that uses it
	seeds    []Seed   // directories of the caller's cache that are copied, relative to it
	// more sets what else the tool needs. used reports whether the project seems to use the tool.
	more func(b *builder, t *tool, used bool)
}

// dir is one cache of a tool.
type dir struct {
	name     string                  // in the project's directory
	variable string                  // the variable that names it; "" if there is none
	usual    string                  // where it is if no variable says so, below the home
	shown    string                  // the part of it that an overlay shows; "" for all
	find     func(b *builder) string // where it is by further variables; "" if these say nothing
}

var tools = [...]tool{
	// Go's build cache has no second source to read from: go help cache. Its module cache has one, because the
	// downloads in it have the form of a proxy: go help goproxy.
	{name: "go", programs: []string{"go", "make"}, files: []string{"go.mod"}, more: goMore,
		dirs: []dir{{name: "go-build", variable: "GOCACHE", usual: ".cache/go-build"}, {name: "go-mod", variable: "GOMODCACHE", usual: "go/pkg/mod", find: goMod}}},
	{name: "ccache", programs: []string{"ccache"},
		dirs: []dir{{name: "ccache", variable: "CCACHE_DIR", usual: ".cache/ccache", find: oldCcache}}},
	// Not the caller's credentials, configuration and programs, which CARGO_HOME holds too.
	{name: "cargo", programs: []string{"cargo"}, files: []string{"Cargo.toml"}, more: cargoMore,
		dirs:  []dir{{name: "cargo", variable: "CARGO_HOME", usual: ".cargo", shown: "registry"}},
		seeds: []Seed{{"registry/index", "registry/index"}, {"registry/cache", "registry/cache"}}},
	{name: "npm", programs: []string{"npm", "npx"}, files: []string{"package.json", "package-lock.json"}, more: npmMore,
		dirs:  []dir{{name: "npm", variable: "npm_config_cache", usual: ".npm"}},
		seeds: []Seed{{"_cacache", "_cacache"}}},
	// npm warns of a variable for pnpm, so a file of pnpm's configuration names the store.
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
	// Maven 3.9 reads a second repository. Older versions have only one, so it is copied.
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

// oldCcache returns ~/.ccache if that exists, as ccache does.
func oldCcache(b *builder) string {
	old := paths.Join(b.Home, ".ccache")
	if _, isDir := b.Exists(old); isDir {
		return old
	}
	return ""
}

// goMore lets go fetch modules from what the caller has downloaded. Without a network, go can ask no checksum
// database; the caller's go has asked when it downloaded them.
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

// goProxy returns where the caller's go fetches modules: GOPROXY, or what `go env -w` and the installation say: go help
// environment. It returns "" if none of them says so, and for an address with a user and a password.
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

// escape writes a path as a URL takes it, in a list that commas and bars separate.
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
	b.setenv("UV_LINK_MODE", "copy") // the cache is another mount than the project, and links do not cross it
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
		return // the options are words of a shell
	}
	b.extend("MAVEN_OPTS", options)
}
