# Versor's user interface: `make help` lists it all. Every target that builds first runs
# .make/setup.sh, which finds or installs what is missing; a second run costs nothing. The other
# scripts in .make/ fetch the data and do the checks.
VERSION := 0.1.0
# each experiments/<name>.cpp has a main(); the other files there are shared
PROGRAMS := train one_step bench table3

ONEDNN ?= auto## oneDNN: auto, 1 (must be there) or 0 (the reference kernels instead)
CUDA ?= 0## 1: not in this version yet
DEBUG ?= 0## 1: run-time checks and debugger information; slower
MARCH ?= $(if $(filter x86_64,$(shell uname -m)),x86-64-v3)## native: for this very machine
PREFIX ?= /usr/local## where `make install` goes
V ?= 0## 1: show whole compiler commands

SHELL := bash
.SHELLFLAGS := -o pipefail -c
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all
CORES := $(shell nproc)
# make -n was said
DRY := $(findstring n,$(filter-out --%,$(firstword -$(MAKEFLAGS))))
# in parallel by default; a -j on the command line goes before this one
PARALLEL := $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell echo $$(($(CORES) + 1))))
MAKEFLAGS += -r --no-print-directory $(PARALLEL)
GOALS := $(or $(MAKECMDGOALS),all)
BUILDS := $(filter-out help clean data format lint size check-layers,$(GOALS))

ifeq ($(CUDA),1)
$(error CUDA=1: this version has no CUDA backend yet; leave CUDA out)
endif
ifeq ($(filter clean,$(GOALS))$(DRY),clean)
# here and not in a recipe, so that `make clean test` keeps this order
$(shell rm -rf build bin)
endif

# ---- set-up: the compiler and the libraries ------------------------------------------------------
ifneq ($(BUILDS),)
ifeq ($(DRY),)
$(shell CXX='$(if $(filter default,$(origin CXX)),,$(CXX))' ONEDNN='$(ONEDNN)' \
  FORCE='$(filter setup,$(GOALS))' .make/setup.sh)
ifneq ($(.SHELLSTATUS),0)
$(error the set-up is not complete, see above)
endif
endif
-include build/setup-$(ONEDNN).mk
endif

# ---- flags ---------------------------------------------------------------------------------------
WITH_ONEDNN := $(if $(filter auto,$(ONEDNN)),$(ONEDNN_FOUND),$(filter 1,$(ONEDNN)))
CONFIG := cpu-$(if $(WITH_ONEDNN),onednn,reference)
B := build/$(CONFIG)$(if $(filter 1,$(DEBUG)),-debug)$(if $(filter native,$(MARCH)),-native)
OPTIMIZE := $(if $(filter 1,$(DEBUG)),-Og -g -D_GLIBCXX_ASSERTIONS,-O3)
NUMERICS := $(addprefix -march=,$(MARCH)) -ffp-contract=off -fno-math-errno -fno-trapping-math -fopenmp
FLAGS := -std=c++20 $(NUMERICS) -Wall -Wextra -Werror -I. -isystem .deps/include \
  -DFMT_HEADER_ONLY $(if $(WITH_ONEDNN),-DVERSOR_ONEDNN=1) $(CXXFLAGS)
LIBRARIES := $(if $(WITH_ONEDNN),-ldnnl) $(LDLIBS)
ifneq ($(wildcard .deps/lib),)
# unpacked libraries are found from the checkout's programs (through bin/ too), from installed programs
# and, with the old kind of rpath, by one another
RPATH := $$ORIGIN/../../../.deps/lib:$$ORIGIN/../.deps/lib:$$ORIGIN/../lib/versor
LIBRARIES += -L.deps/lib -Wl,-rpath-link,.deps/lib -Wl,--disable-new-dtags,-rpath,'$(RPATH)'
endif
DESCRIBE := git --git-dir=.git --work-tree=. describe --always --dirty --abbrev=12 --exclude='*'
COMMIT := $(or $(shell $(DESCRIBE) 2>/dev/null),unknown)
BUILT_WITH := $(COMPILER) $(OPTIMIZE) $(NUMERICS)

# A stamp is a file that changes when its text changes: what depends on it is then made again.
stamp = $(if $(DRY),,$(shell mkdir -p $(dir $1); \
  echo '$2' | cmp -s - $1 || echo '$2' > $1))
ifneq ($(BUILDS),)
$(call stamp,$(B)/flags,$(CXX) $(OPTIMIZE) $(FLAGS) $(LIBRARIES))
$(call stamp,$(B)/commit,$(COMMIT))
KERNELS := $(if $(WITH_ONEDNN),oneDNN $(ONEDNN_FOUND),reference kernels without oneDNN)
$(if $(DRY),,$(info versor $(VERSION): $(COMPILER), $(KERNELS), CUDA none -> $(B)))
endif
$(B)/flags $(B)/commit: ;

# ---- sources and objects -------------------------------------------------------------------------
LIBRARY := $(wildcard $(addsuffix /*.cpp,tensor tensor/cpu autograd nn vq vq/cpu data)) tensor/cuda/stub.cpp
LIBRARY := $(if $(WITH_ONEDNN),$(LIBRARY),$(filter-out tensor/cpu/onednn%,$(LIBRARY)))
SHARED := $(filter-out $(PROGRAMS:%=experiments/%.cpp),$(wildcard experiments/*.cpp))
TESTS := $(shell find tests -name '*.cpp')
objects = $(1:%.cpp=$(B)/%.o)
BINARIES := $(PROGRAMS:%=$(B)/bin/%)
Q := $(if $(filter 1,$(V)),,@)

.PHONY: all quick test table3 bench data setup train one_step install bundle check-layers size \
  format lint help clean $(PROGRAMS:%=bin/%)
all: $(PROGRAMS:%=bin/%) ## build the programs (what make does by default)

$(B)/%.o: %.cpp $(B)/flags
	$(info $<)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(OPTIMIZE) $(FLAGS) $(DEFINES) -MMD -MP -c $< -o $@

# no hot loops there, but large headers
$(B)/tests/%.o $(B)/experiments/%.o: OPTIMIZE := $(OPTIMIZE:-O3=-O1)
$(B)/experiments/version.o: DEFINES = -DVERSOR_VERSION='"$(VERSION)"' \
  -DVERSOR_COMMIT='"$(COMMIT)"' -DVERSOR_COMPILER_FLAGS='"$(BUILT_WITH)"'
$(B)/experiments/version.o: $(B)/commit

$(B)/libversor.a: $(call objects,$(LIBRARY))
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(B)/bin/run_tests: $(call objects,$(TESTS))
$(BINARIES): $(B)/bin/%: $(B)/experiments/%.o
$(BINARIES) $(B)/bin/run_tests: $(call objects,$(SHARED)) $(B)/libversor.a
	@mkdir -p $(@D)
	$(Q)$(CXX) $(OPTIMIZE) -fopenmp $(filter %.o,$^) $(B)/libversor.a $(LDFLAGS) $(LIBRARIES) -o $@

$(PROGRAMS:%=bin/%): bin/%: $(B)/bin/%
	@mkdir -p bin && ln -sfn ../$< $@

-include $(patsubst %.o,%.d,$(call objects,$(LIBRARY) $(TESTS) $(wildcard experiments/*.cpp)))

# ---- running -------------------------------------------------------------------------------------
# CIFAR-10: the folder CIFAR10_DIR, or what `make data` brought. DATA=synthetic does without.
DOWNLOADED := data/cifar-10-batches-bin
DATA_DIR := $(or $(CIFAR10_DIR),$(and $(wildcard $(DOWNLOADED)/data_batch_1.bin),$(DOWNLOADED)))
DATA ?= $(if $(DATA_DIR),cifar10)
FOLDER := --data-dir $(or $(DATA_DIR),$(DOWNLOADED))
IMAGES = $(if $(filter synthetic,$(DATA)),--data synthetic,$(FOLDER))
OPTIONS = $(IMAGES) $(and $(SEEDS),--seeds $(SEEDS)) $(and $(EPOCHS),--epochs $(EPOCHS)) \
  $(and $(TRAIN),--train-images $(TRAIN)) $(and $(TEST),--test-images $(TEST)) \
  $(and $(DEVICE),--device $(DEVICE)) $(and $(PRECISION),--precision $(PRECISION)) \
  $(and $(SIDE_BY_SIDE),--threads $(shell echo $$(($(CORES) / $(SIDE_BY_SIDE)))))
# N of make -jN where 2 <= N <= cores: that many trainings at a time, the cores shared among them
SIDE_BY_SIDE = $(filter $(patsubst -j%,%,$(filter -j%,$(MAKEFLAGS))),$(shell seq 2 $(CORES)))

quick: all ## a miniature of the paper in minutes; its files are in results/quick
	images=$$(DATA=$(DATA) .make/data.sh images) && bin/table3 --quick $$images --results results/quick

test: all $(B)/bin/run_tests ## build and run all tests; ARGS=... goes to the test program
	@VERSOR_BIN=$(CURDIR)/$(B)/bin $(B)/bin/run_tests $(ARGS)

train one_step: %: bin/% ## build one program; bin/train --help says how it is used

table3: all $(if $(DATA),,data) ## the paper's table 3, resumable; with -jN, N trainings side by side
	$(and $(SIDE_BY_SIDE),bin/table3 $(strip $(OPTIONS)) --list | \
	  xargs -d '\n' -P $(SIDE_BY_SIDE) -I{} bash -c {})
	bin/table3 $(strip $(OPTIONS))

bench: all ## speed of one training step against the floor of the bare library calls
	bin/bench $(and $(DEVICE),--device $(DEVICE)) $(and $(PRECISION),--precision $(PRECISION)) $(ARGS)

data: ## CIFAR-10 to data/cifar-10-batches-bin; with CIFAR10_DIR it checks that folder
	@.make/data.sh

# ---- set-up, quality, use elsewhere --------------------------------------------------------------
setup: ## look again for compiler and libraries, and install what is missing
	@echo "found: $(COMPILER) ($(CXX)), oneDNN $(or $(ONEDNN_FOUND),none)"

bundle: ## oneDNN and the headers to .deps, for a machine without network and root
	@.make/bundle.sh "$(CXX)"

install: all ## copy programs, library and headers to PREFIX (/usr/local)
	@.make/install.sh "$(DESTDIR)$(PREFIX)" "$(B)" "$(PROGRAMS)"

check-layers: ## prove that the layers include one way only
	@.make/check_layers.sh

size: ## lines per folder, and files over 400 lines
	@.make/size.sh

format: ## clang-format on every source
	@.make/sources.sh | xargs clang-format -i

lint: ## is every source formatted?
	@.make/sources.sh | xargs clang-format --dry-run -Werror

clean: ## remove build and bin; results and .deps stay
	$(if $(DRY),rm -rf build bin,@:)

help: ## this list
	@awk -F ':[^#]*## ' '/^[a-z].*: .*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile
	@echo "options:"
	@awk -F ' [?]= .*## ' '/^[A-Z]+ [?]= .*## / { printf "  %-16s %s\n", $$1 "=", $$2 }' Makefile
	@echo "  SEEDS=1,2,3 EPOCHS= TRAIN= TEST= DEVICE= PRECISION=   of table3 (TRAIN, TEST: images)"
	@echo "  CIFAR10_DIR=     the folder of CIFAR-10, binary version; DATA=synthetic does without"
	@echo "  CXX=             the compiler: g++ from 12 on, or clang++"
