# cordon. `make run` sets up what is missing, builds, and runs a command in the default profile; `make test` tests it.

VERSION  := $(word 1,$(shell packaging/version))
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
FUZZTIME := 30s
GOTEST   ?= go test
# Without exec a shell would stand between, and make would not wait until the guard has done its part.
GUARD    := exec bin/guard
CMD      := sh -c 'id; hostname; ls -A ~; cat /proc/net/dev'

# The binary that the tests are about.
export CORDON_BIN := $(CURDIR)/bin/cordon

PREFIX   ?= /usr/local
ENTRY    := $(if $(filter amd64 arm64,$(shell go env GOARCH)),-E cordon/sandbox/internal/child.entry)

.PHONY: build man install uninstall dist guard run test test-system race lint bench soak attacks attacks-peers hosts fuzz generate vm vm-tools clean

# One static binary. It is pure Go always: with cgo the dynamic loader and libc cost 0.3 ms at every start. Where
# libseccomp's headers are, its helper for `profile check --reference` too, a program of its own. The binary is copied, as
# a package manager does: the linker writes it through a mapping, page by page, and the page cache keeps it in such small
# pieces, which cost each start 0.2 ms (ext4, Linux 6.18).
# On the architectures that have it, the binary begins at a function of its own, which looks at limits that the runtime would
# not survive (sandbox/internal/child/entry.go).
# CORDON_BUILT=1 says that all is built, and that others use it.
ifdef CORDON_BUILT
build:
	@test -x bin/cordon
guard:
	@test -x bin/guard
else
build:
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w $(ENTRY) -X main.version=$(VERSION)' -o bin/cordon.linked ./cmd/cordon
	@install bin/cordon.linked bin/cordon && rm bin/cordon.linked
	@.ci/reference build

# What runs tests: when they end, or are stopped, nothing of theirs is left.
guard:
	@CGO_ENABLED=0 go build -trimpath -buildvcs=false -o bin/guard ./tests/guard
endif

# In the embedded default profile; -v prints what was enforced. `make run CMD=id` runs something else.
run: build
	@.ci/setup test
	bin/cordon run -v -- $(CMD)

# Needs no root; as root more is run. One package at a time: some mount on the host for a moment, and others watch that
# nothing is left. The tests of the binary always run: go test does not see that it has changed. The last line is the
# comparison with libseccomp, the only use of cgo.
test: build guard
	@.ci/setup test
	CGO_ENABLED=0 $(GUARD) $(GOTEST) -p 1 ./policy/... ./profiles/...
	$(MAKE) -s test-system
	@.ci/reference test

# The part of it that depends on who runs it, and on which machine. The limit is for a machine that does other work too.
test-system: build guard
	CGO_ENABLED=0 $(GUARD) $(GOTEST) -p 1 -timeout 25m ./cmd/... ./sandbox/...
	CGO_ENABLED=0 $(GUARD) $(GOTEST) -p 1 -timeout 45m -count=1 ./tests/...

# What has no threads of its own is left out. -short: a failure at every seventh step of a plan is enough here.
race: build guard
	CGO_ENABLED=1 $(GUARD) $(GOTEST) -race -short -timeout 25m ./cmd/cordon ./sandbox/...

# Every restricted host of the table, as root and as an ordinary user; then docs/hosts.md is written. It takes root.
hosts: build
	@.ci/setup ci
	CGO_ENABLED=0 $(GOTEST) -count=1 -run TestHosts ./tests/hosts
	CORDON_HOSTS=write CGO_ENABLED=0 $(GOTEST) -count=1 -run TestDocument ./tests/hosts

lint:
	CGO_ENABLED=0 go run $(GOLANGCI) run

# Ratios against bubblewrap and a straight-line C program. ARGS=-short is quick and judges nothing, ARGS=-write updates docs/performance.md.
bench: build
	@.ci/setup bench
	gcc -O2 -static -o bin/floor tests/bench/floor/floor.c
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -o bin/bench ./tests/bench
	@.ci/reference bench
	bin/bench $(ARGS)

# Thousands of launches, hundreds of sandboxes alive, launchers killed; then nothing may be left. ARGS=-short does little of each.
soak: build guard
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -o bin/soak ./tests/soak
	$(GUARD) bin/soak $(ARGS)

# Every attack, tried for real, against every shipped profile that claims to stop it: the matrix, printed and written to docs/attacks.md. RACES=10000 is the long
# form: so many launches for each attack that is a race; ATTACK=02 takes the rows of that number alone.
attacks: build guard
	@.ci/setup test
	CORDON_ATTACKS_WRITE=$(if $(ATTACK),,$(CURDIR)/docs/attacks.md) CORDON_ATTACKS_RACES=$(RACES) CGO_ENABLED=0 \
		$(GUARD) go test -count=1 -timeout 2h -v -run 'Matrix/$(ATTACK)' ./tests/attacks

# The same probes inside bubblewrap, for comparison.
attacks-peers: build guard
	@.ci/setup ci
	CORDON_ATTACKS_PEER=bwrap CGO_ENABLED=0 $(GUARD) go test -count=1 -v -run Matrix ./tests/attacks

fuzz: guard
	$(GUARD) .ci/fuzz $(FUZZTIME)

# The end-to-end suite on Debian's kernels, emulated, on cgroup v2 with every controller. KERNEL=6.12 takes one of them,
# RUN=regexp the tests whose names match, BY=root or BY=user one of the two (AS is make's own). Afterwards, and while working:
#   bin/vm --kernel 6.1 --user -- bin/cordon run -v -- id
vm: build vm-tools
	bin/vm suite $(if $(KERNEL),--kernel $(KERNEL)) $(if $(RUN),--run '$(RUN)') $(if $(BY),--as $(BY)) $(JOBS)

vm-tools:
	@.ci/setup vm
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -o bin/vm ./tests/vm

# Tables, schemas, references, and the picture in docs/architecture.md.
generate:
	go generate ./...
	go test ./tests -run TestPicture -update

# The manual pages and completions, into bin. Their date is that of the commit.
man: build
	@rm -rf bin/man bin/completions && mkdir -p bin/man bin/completions
	@set -e; set -- $$(packaging/version); \
	SOURCE_DATE_EPOCH=$$2 bin/cordon manual bin/man; \
	CGO_ENABLED=0 go run profiles/man.go bin/man/cordon-profile.5 $$1 $$2
	@bin/cordon completion bash >bin/completions/cordon.bash
	@bin/cordon completion zsh >bin/completions/_cordon
	@bin/cordon completion fish >bin/completions/cordon.fish

# The binary, manual pages, completions, readable copies of the shipped profiles, the schema, and the profile for AppArmor.
# What is built as an ordinary user is installed as root: `make man && sudo make install CORDON_BUILT=1`.
install: $(if $(CORDON_BUILT),,man)
	PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' packaging/install install

uninstall:
	PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' packaging/install uninstall

# Tarballs, packages, lists of components and checksums, for amd64 and arm64, into bin/dist.
dist: man
	packaging/dist

clean:
	rm -rf bin
