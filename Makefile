# SPDX-License-Identifier: GPL-2.0-only
# nfq2xdp. `make help` lists the targets; V=1 shows the commands.

VERSION := 0.1.0
BUILD   ?= build
PREFIX  ?= /usr/local
UNITDIR ?= $(PREFIX)/lib/systemd/system
CC      ?= cc
CLANG   ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /usr/local/sbin/bpftool) bpftool)
Q       := $(if $(V),,@)
say      = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2);)

# Debian and Ubuntu packages: to build, run and see the demo; (TEST=1) to test, too; (VM=1) to test on other kernels.
DEPS     = make gcc libc6-dev linux-libc-dev clang llvm bpftool pkg-config libbpf-dev libelf-dev \
	   libnetfilter-queue-dev libnftnl-dev libmnl-dev libcyaml-dev libyaml-dev libjansson-dev \
	   libevent-dev libcap-ng-dev libpcap-dev scdoc
DEPS    += libcmocka-dev iproute2 nftables iptables procps ethtool jq util-linux
DEPS_TEST = libclang-rt-dev clang-format-14 clang-tidy-14 shellcheck valgrind git iperf3 tcpdump iputils-ping \
	   netcat-openbsd chromium-headless-shell fonts-dejavu-core systemd udev dbus man-db cpio dpkg-dev debhelper \
	   lintian golang-go golang-github-hashicorp-hcl-v2-dev ansible-core python3-apt python3-yaml \
	   python3-jsonschema python3-configobj python3-jinja2 \
	   python3-requests python3-netifaces python3-jsonpatch
DEPS_VM  = qemu-system-x86 busybox-static netbase cpio xz-utils ca-certificates mmdebstrap e2fsprogs
# Unpacked, not installed: the one would start a server, the other configure this machine.
UNPACKED = prometheus cloud-init

PKGS     = libbpf libnetfilter_queue libnftnl libmnl libcyaml yaml-0.1 jansson libevent_core libevent_extra libcap-ng libpcap
WARN     = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror
CFLAGS  ?= -O2 -g
SAN     :=
CPPFLAGS_ALL = -I. -I$(BUILD) -D_GNU_SOURCE -DVERSION='"$(VERSION)"' $(CPPFLAGS)
CFLAGS_ALL   = -std=gnu17 $(WARN) $(SAN) $(CFLAGS) $(shell pkg-config --cflags $(PKGS))
LDLIBS_ALL   = $(shell pkg-config --libs $(PKGS)) -lpthread -lm
BPF_ARCH    := $(patsubst aarch64,arm64,$(patsubst x86_64,x86,$(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))))
BPF_CFLAGS   = --target=bpf -D__TARGET_ARCH_$(BPF_ARCH) -mcpu=v3 -std=gnu17 -O2 -g -Wall -Wextra -Wshadow -Werror \
	       -Wimplicit-int-conversion -I. -I/usr/include/$(shell $(CC) -print-multiarch)
FUZZ_CFLAGS  = -std=gnu17 -Wall -Wextra -Wshadow -Wimplicit-int-conversion -Werror -O1 -g -I. -D_GNU_SOURCE \
	       -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all

LIB_SRC  := $(filter-out %.bpf.c,$(wildcard core/*.c rules/*.c xdp/*.c nfq-fallback/*.c migrate/*.c))
BPF_SRC  := $(wildcard xdp/*.bpf.c)
VEC_SRC  := $(wildcard tests/vectors/*.c)
TEST_SRC := $(wildcard tests/unit/test_*.c tests/bpf/test_*.c tests/netns/test_*.c)
LAB_SRC  := $(wildcard tests/lab/*.c) $(filter-out %.bpf.c,$(wildcard tests/bench/*.c)) tests/faults/kill_at.c
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_LIB := tests/fuzz/naive.c $(VEC_SRC) core/log.c $(addprefix migrate/,capture.c parity.c parity_view.c)

obj       = $(patsubst %.c,$(BUILD)/%.o,$(1))
LIB_OBJ  := $(call obj,$(LIB_SRC))
SKEL     := $(patsubst %.bpf.c,$(BUILD)/%.skel.h,$(BPF_SRC))
TEST_BIN := $(patsubst %.c,$(BUILD)/%,$(TEST_SRC))
LAB_BIN  := $(patsubst %.c,$(BUILD)/%,$(LAB_SRC))
MAN      := $(patsubst %.scd,$(BUILD)/%,$(wildcard man/*.scd))
FUZZ_BIN := $(patsubst %.c,$(BUILD)/%,$(FUZZ_SRC))

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all deb deps demo test lint asan fuzz faults parity bench help install clean tests vm

all: $(BUILD)/nfq2xdp ## build the binary: build/nfq2xdp

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

# Nothing but this target installs. Prints what it would do when it may not.
deps: ## install the missing packages (TEST=1, VM=1: also those of the tests, of the VM tier)
	@missing=; for p in $(DEPS) $(if $(TEST),$(DEPS_TEST)) $(if $(VM),$(DEPS_VM)); do \
		dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null | grep -qx installed || missing="$$missing $$p"; \
	done; \
	[ -z "$$missing" ] && exit 0; \
	if [ "$$(id -u)" != 0 ]; then \
		echo "deps: missing:$$missing" >&2; \
		echo "deps: as root: apt-get update && apt-get install -y --no-install-recommends$$missing" >&2; \
		exit 1; \
	fi; \
	echo "deps: installing$$missing"; \
	export DEBIAN_FRONTEND=noninteractive; \
	apt-get -q update >$(or $(TMPDIR),/tmp)/nfq2xdp-deps.log 2>&1 && \
	apt-get -q install -y --no-install-recommends $$missing >>$(or $(TMPDIR),/tmp)/nfq2xdp-deps.log 2>&1 || \
	{ tail -5 $(or $(TMPDIR),/tmp)/nfq2xdp-deps.log >&2; exit 1; }

demo: deps ## migrate live traffic in a throw-away lab (VM=1: inside a qemu guest)
	$(Q)$(MAKE) --no-print-directory all tests
	$(Q)$(if $(VM),tests/vm/run.sh demo,tests/lab/demo.sh)

test: ## every tier that can run here
	$(Q)$(MAKE) --no-print-directory deps TEST=1
	$(Q)$(MAKE) --no-print-directory all tests $(addprefix build/,$(UNPACKED))
	$(Q)tests/run.sh $(TIERS)

$(addprefix build/,$(UNPACKED)):
	@mkdir -p $@.new
	$(call say,GET,$@)cd $@.new && (apt-get -q download $(@F) || \
		{ apt-get -q update && apt-get -q download $(@F); }) >log 2>&1 || { cat log >&2; exit 1; }
	@dpkg-deb -x $@.new/$(@F)_*.deb $@.new && rm $@.new/$(@F)_*.deb && mv $@.new $@

bench: deps ## what each way costs, compared in one run (BENCH=long)
	$(Q)$(MAKE) --no-print-directory all tests $(BUILD)/bench/nolease.bpf.o
	$(Q)BUILD=$(BUILD) tests/bench/bench.sh

# The program as if there were no lease, to know what that costs.
$(BUILD)/bench/nolease.bpf.o: tests/bench/bench.bpf.c $(BUILD)/tests/bench/bench.bpf.o
	@mkdir -p $(@D)/core
	$(Q)sed '/__u64 deadline =/d; /if (deadline && now >= deadline)/s/.*/	(void)now; if (0)/' core/packet.h >$(@D)/core/packet.h
	@! cmp -s core/packet.h $(@D)/core/packet.h || { echo "$@: no lease found in core/packet.h" >&2; exit 1; }
	$(call say,BPF,$@)$(CLANG) -I$(@D) $(BPF_CFLAGS) -c -o $@ $<

faults: deps ## the fault suite in its long form: 100 cycles, every kill point (make test has a short one)
	$(Q)$(MAKE) --no-print-directory all tests
	$(Q)tests/faults/run.sh

parity: deps ## seeded defects, and 10,000,000 packets without one (make test has 1,000,000)
	$(Q)$(MAKE) --no-print-directory all tests
	$(Q)PARITY_PACKETS=10000000 tests/run.sh bpf/test_replay_defects

tests: $(TEST_BIN) $(LAB_BIN) $(BUILD)/tests/faults/foreign.bpf.o $(BUILD)/tests/bench/bench.bpf.o

vm: ## the bpf and guest tiers, parts of others, on other kernels; the package on a host with systemd; all under qemu
	$(Q)$(MAKE) --no-print-directory deps VM=1
	$(Q)$(MAKE) --no-print-directory all tests deb
	$(Q)tests/vm/run.sh matrix

lint: $(SKEL) ## formatting, clang-tidy, shellcheck, dependency direction
	$(Q)tests/lint.sh

asan: ## unit tests and the binary with address and undefined-behaviour sanitizers
	$(Q)$(MAKE) --no-print-directory deps TEST=1
	$(Q)$(MAKE) --no-print-directory $(addprefix build/,$(UNPACKED))
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)/asan \
		SAN="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer" \
		CFLAGS="-O1 -g" all tests
	$(Q)BUILD=$(BUILD)/asan tests/run.sh $(or $(TIERS),unit)

FUZZ_SECONDS ?= 60
fuzz: $(FUZZ_BIN) $(BUILD)/tests/bpf/test_replay ## 60 s of each differential fuzzer (FUZZ_SECONDS, FUZZ_ARGS)
	$(Q)tests/fuzz/run.sh $(FUZZ_SECONDS) $(FUZZ_BIN)

install: all $(MAN) ## install below $(DESTDIR)$(PREFIX)
	install -D -m 0755 -t $(DESTDIR)$(PREFIX)/sbin $(BUILD)/nfq2xdp
	install -D -m 0644 -t $(DESTDIR)$(UNITDIR) systemd/*.service
	install -D -m 0644 -t $(DESTDIR)$(UNITDIR)/nfq2xdp-.service.d systemd/nfq2xdp-.service.d/*
	sed -i 's,/usr/sbin/nfq2xdp,$(PREFIX)/sbin/nfq2xdp,' $(DESTDIR)$(UNITDIR)/nfq2xdp-*.service
	for kind in sysusers tmpfiles modules-load; do \
		install -D -m 0644 systemd/nfq2xdp.$$kind $(DESTDIR)$(PREFIX)/lib/$$kind.d/nfq2xdp.conf; \
	done
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/man/man5 $(filter %.5,$(MAN))
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/man/man8 $(filter %.8,$(MAN))
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/nfq2xdp monitoring/status.schema.json
	install -D -m 0644 man/completion.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/nfq2xdp

deb: build/deb/stamp ## the Debian package: build/deb/nfq2xdp_*.deb
	@ls build/deb/*.deb

# Built out of the tree, as dpkg-buildpackage writes beside it.
DEB_SRC := $(filter-out tests build,$(wildcard *))
build/deb/stamp: $(shell find $(DEB_SRC) -type f)
	$(Q)rm -rf build/deb && mkdir -p build/deb/nfq2xdp
	$(call say,DEB,build/deb)cp -a $(DEB_SRC) build/deb/nfq2xdp
	$(Q)cd build/deb/nfq2xdp && env -u MAKEFLAGS -u MAKELEVEL -u BUILD dpkg-buildpackage -b -us -uc >../log 2>&1 || \
		{ tail -20 ../log >&2; exit 1; }
	$(Q)rm -rf build/deb/nfq2xdp && touch $@

clean: ## remove build/
	rm -rf $(BUILD)

$(BUILD)/nfq2xdp: $(BUILD)/main.o $(LIB_OBJ)
	$(call say,LINK,$@)$(CC) $(CFLAGS_ALL) $(LDFLAGS) -o $@ $^ $(LDLIBS_ALL)

$(BUILD)/%.o: %.c Makefile | $(SKEL)
	@mkdir -p $(@D)
	$(call say,CC,$@)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(BUILD)/%.bpf.o: %.bpf.c Makefile
	@mkdir -p $(@D)
	$(call say,BPF,$@)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/%.skel.h: $(BUILD)/%.bpf.o
	$(call say,SKEL,$@)$(BPFTOOL) gen skeleton $< name $(subst .,_,$(notdir $*)) >$@

$(MAN): $(BUILD)/%: %.scd
	@mkdir -p $(@D)
	$(call say,MAN,$@)scdoc <$< >$@

$(TEST_BIN): $(BUILD)/%: $(BUILD)/%.o $(LIB_OBJ) $(call obj,$(VEC_SRC))
	$(call say,LINK,$@)$(CC) $(CFLAGS_ALL) $(LDFLAGS) -o $@ $^ $(LDLIBS_ALL) -lcmocka

$(BUILD)/tests/bench/cost: $(call obj,$(VEC_SRC))
$(LAB_BIN): $(BUILD)/%: $(BUILD)/%.o
	$(call say,LINK,$@)$(CC) $(CFLAGS_ALL) $(LDFLAGS) -o $@ $^ $(LDLIBS_ALL)

$(FUZZ_BIN): $(BUILD)/%: %.c $(FUZZ_LIB) $(wildcard core/*.h migrate/*.h tests/fuzz/*.h tests/vectors/*.h) Makefile
	@mkdir -p $(@D)
	$(call say,FUZZ,$@)$(CLANG) $(FUZZ_CFLAGS) -o $@ $< $(FUZZ_LIB) -lpcap -lm

-include $(shell find $(BUILD) -type f -name '*.d' 2>/dev/null)
