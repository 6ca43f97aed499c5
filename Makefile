# Versor's user interface; `make help` lists everything. Targets that build run .make/setup.sh
# first, which finds or installs what is missing and takes no time once it has succeeded. The other
# scripts in .make/ fetch the data, run experiments and check the code.
VERSION := 0.1.0
# each experiments/<name>.cpp has a main(); the folders there hold shared code
PAPER := table1 table2 table3 figures table_attribution table_estimators table_quantizers verdicts \
  report
PROGRAMS := train evaluate classifier generation encode decode prior diffusion sample inspect prune one_step bench scaling probe \
  tsne sweep $(PAPER)

ONEDNN ?= auto## oneDNN: auto, 1 (required) or 0 (the reference kernels instead)
CUDA ?= auto## GPU code: auto (if nvcc and cuDNN are found), 1 (required) or 0
MPI ?= auto## training on many machines: auto (if Open MPI is found), 1 (required) or 0
DEBUG ?= 0## 1: run-time checks and debugger information; slower
SANITIZE ?=## address (with undefined) or thread: a build under that sanitizer, see make sanitize
MARCH ?= $(if $(filter x86_64,$(shell uname -m)),x86-64-v3)## native: for this machine only
PYTHON3 ?= python3## the interpreter that `make python` builds a module for
TORCH_PYTHON ?= python3## an interpreter that has PyTorch, for bench-peers and torch-check
PREFIX ?= /usr/local## where `make install` goes
V ?= 0## 1: show whole compiler commands

SHELL := bash
.SHELLFLAGS := -o pipefail -c
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all
CORES := $(shell nproc)
# quotes a user's path for the shell: it may contain blanks and quotes
quote = '$(subst ','\'',$1)'
# not empty under make -n
DRY := $(findstring n,$(filter-out --%,$(firstword -$(MAKEFLAGS))))
# the N of -jN on the command line: the number of trainings at a time. MAKEFLAGS contains it only in
# recipes, where it cannot be distinguished from the default below.
SIDE_BY_SIDE := $(filter-out 1,$(shell tr '\0' ' ' </proc/$$PPID/cmdline | \
  sed -nE 's/.* (-j ?|--jobs[= ])([0-9]+) .*/\2/p'))
# parallel by default; a -j on the command line takes precedence
PARALLEL := $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell echo $$(($(CORES) + 1))))
MAKEFLAGS += -r --no-print-directory $(PARALLEL)
GOALS := $(or $(MAKECMDGOALS),all)
FOR_PYTHON := $(filter python python-test wheel,$(GOALS))
BUILDS := $(filter-out help clean data format lint size check-layers sanitize gpu-unpack uninstall docs,$(GOALS))

# A misspelt variable would be ignored: EPOCH=5 would train for 50 epochs.
VARIABLES := AR ARGS B BETA CIFAR10_DIR CLASSIFIER CODEBOOKS CUDA CUDA_GENCODE CUDA_HOME CUDNN_HOME CXX CXXFLAGS DATA DATA_DIR DEBUG \
  DESTDIR DEVICE DIFFUSION EPOCHS ESTIMATORS FILES FORCE GPU_ARCH HEADERS LIBRARIES JOBS KERNELS KILLS LATENCY LDFLAGS \
  LDLIBS MARCH MPI NVCC NVCCFLAGS ONEDNN ONLY PARTS PRECISION PREFIX PRESET PRIOR PYTHON3 QUANTIZERS QUEUE QUICK \
  RANKS RATE RATES RESULTS RUN SAMPLE SAMPLES SANITIZE SECONDS SEED SEEDS SHELL SIZE STEPS TARGETS TEST TORCH_PYTHON TRAIN V
UNKNOWN := $(strip $(foreach name,$(filter-out $(VARIABLES) MAKE%,$(.VARIABLES)),\
  $(if $(findstring command line,$(origin $(name))),$(name))))
ifneq ($(if $(filter sweep,$(GOALS)),,$(UNKNOWN)),)
$(error there is no variable $(firstword $(UNKNOWN))$(shell .make/did_you_mean.sh \
  $(firstword $(UNKNOWN)) $(VARIABLES)) (make help lists them))
endif

ifeq ($(filter clean,$(GOALS))$(DRY),clean)
# here and not in a recipe, so that `make clean test` cleans first
$(shell rm -rf build bin)
endif

# ---- set-up: the compiler and the libraries ------------------------------------------------------
ifneq ($(BUILDS),)
ifeq ($(DRY),)
$(shell CXX=$(call quote,$(if $(filter default,$(origin CXX)),,$(CXX))) ONEDNN='$(ONEDNN)' MPI='$(MPI)' \
  PYTHON3=$(call quote,$(if $(FOR_PYTHON),$(PYTHON3))) FORCE='$(filter setup,$(GOALS))' .make/setup.sh)
ifneq ($(.SHELLSTATUS),0)
$(error the set-up is not complete, see above)
endif
endif
-include build/setup-$(ONEDNN).mk
ifeq ($(DRY),)
$(shell CXX=$(call quote,$(CXX)) CUDA='$(CUDA)' \
  NVCC=$(call quote,$(if $(filter command environment,$(origin NVCC)),$(NVCC))) \
  CUDA_HOME=$(call quote,$(CUDA_HOME)) CUDNN_HOME=$(call quote,$(CUDNN_HOME)) FORCE='$(filter setup,$(GOALS))' .make/cuda.sh)
ifneq ($(.SHELLSTATUS),0)
$(error the set-up is not complete, see above)
endif
endif

-include build/setup-cuda-$(CUDA).mk
ifeq ($(DRY),)
$(shell CXX=$(call quote,$(CXX)) MPI='$(MPI)' FORCE='$(filter setup,$(GOALS))' .make/mpi.sh)
ifneq ($(.SHELLSTATUS),0)
$(error the set-up is not complete, see above)
endif
endif
-include build/setup-mpi-$(MPI).mk
endif

# ---- flags ---------------------------------------------------------------------------------------
WITH_ONEDNN := $(if $(filter auto,$(ONEDNN)),$(ONEDNN_FOUND),$(filter 1,$(ONEDNN)))
CONFIG := $(if $(CUDA_FOUND),cuda,cpu)-$(if $(WITH_ONEDNN),onednn,reference)
B := build/$(CONFIG)$(if $(filter 1,$(DEBUG)),-debug)$(addprefix -,$(SANITIZE))$(if $(filter native,$(MARCH)),-native)
CHECKS := -D_GLIBCXX_ASSERTIONS -DVERSOR_DEBUG=1
# with instrumentation, g++ takes variables in <regex> for uninitialised
SANITIZE_address := -fsanitize=address,undefined -fno-sanitize-recover=all \
  $(if $(findstring clang,$(CXX)),,-Wno-maybe-uninitialized)
SANITIZE_thread := -fsanitize=thread
ifneq ($(SANITIZE),)
$(if $(SANITIZE_$(SANITIZE)),,$(error SANITIZE=$(SANITIZE): there are address and thread))
OPTIMIZE := -O1 -g1 -fno-omit-frame-pointer $(CHECKS) $(SANITIZE_$(SANITIZE))
else
OPTIMIZE := $(if $(filter 1,$(DEBUG)),-Og -g $(CHECKS),-O3)
endif
NUMERICS := $(addprefix -march=,$(MARCH)) -ffp-contract=off -fno-math-errno -fno-trapping-math -fopenmp
# -Wno-psabi: vectors that are wider than the processor's are passed within a file only
FLAGS := -std=c++20 -pipe $(NUMERICS) -Wall -Wextra -Werror -Wno-psabi -I. -isystem .deps/include \
  $(if $(WITH_ONEDNN),-DVERSOR_ONEDNN=1) $(CXXFLAGS)
# not for tests and programs, which convert freely; only clang++ would include sign conversions
LIBRARY_WARNINGS := -Wconversion$(if $(findstring clang,$(CXX)), -Wno-sign-conversion)
# for libversor.so and the Python module; without the second flag a function's call of its neighbour
# would be a detour, and with the third nobody else's inline functions replace ours
POSITION_INDEPENDENT := -fPIC -fno-semantic-interposition -fvisibility-inlines-hidden
LIBRARIES = $(if $(WITH_ONEDNN),-ldnnl) -lpng -ljpeg $(CUDA_LIBRARIES) $(MPI_LIBRARIES) $(LDLIBS)
NVCC_FLAGS := -ccbin $(CXX) -std=c++20 -O3 -fmad=false --expt-relaxed-constexpr $(CUDA_GENCODE) -I. \
  -Wno-deprecated-gpu-targets -Xcompiler=-Wall,-Wextra,-ffp-contract=off,-fPIC -Xptxas=--warn-on-spills \
  $(NVCCFLAGS)
ifneq ($(wildcard .deps/lib),)
# the checkout's programs (also through bin/) and installed programs find unpacked libraries, and so
# do, with the old kind of rpath, those libraries themselves
RPATH := $$ORIGIN/../../../.deps/lib:$$ORIGIN/../.deps/lib:$$ORIGIN/../lib/versor
override LDFLAGS += -L.deps/lib -Wl,-rpath-link,.deps/lib -Wl,--disable-new-dtags,-rpath,'$(RPATH)'
endif
DESCRIBE := git --git-dir=.git --work-tree=. describe --always --dirty --abbrev=12 --exclude='*'
COMMIT := $(or $(shell $(DESCRIBE) 2>/dev/null),unknown)
BUILT_WITH := $(COMPILER) $(OPTIMIZE) $(NUMERICS)

# A stamp is a file that is only rewritten when its text changes, which then triggers a rebuild.
stamp = $(if $(DRY),,$(shell mkdir -p $(dir $1); \
  echo '$2' | cmp -s - $1 || echo '$2' > $1))
ifneq ($(BUILDS),)
$(call stamp,$(B)/flags,$(CXX) $(OPTIMIZE) $(FLAGS) $(LIBRARY_WARNINGS) $(POSITION_INDEPENDENT) $(LDFLAGS) \
  $(filter-out $(MPI_LIBRARIES),$(LIBRARIES)))
$(call stamp,$(B)/mpi-flags,$(MPI_INCLUDES) $(MPI_LIBRARIES))
$(if $(CUDA_FOUND),$(call stamp,$(B)/nvcc-flags,$(NVCC) $(NVCC_FLAGS)))
$(call stamp,$(B)/commit,$(COMMIT))
BACKEND := $(if $(WITH_ONEDNN),oneDNN $(ONEDNN_FOUND),reference kernels without oneDNN)
$(if $(DRY),,$(info versor $(VERSION): $(COMPILER), $(BACKEND) -> $(B)))
$(if $(DRY),,$(info $(if $(CUDA_FOUND),with $(CUDA_FOUND),without CUDA: $(CUDA_WHY))))
$(if $(DRY),,$(info $(if $(MPI_FOUND),with $(MPI_FOUND),without MPI: $(MPI_WHY))))
endif
$(B)/flags $(B)/nvcc-flags $(B)/mpi-flags $(B)/commit: ;

# ---- sources and objects -------------------------------------------------------------------------
LIBRARY := $(wildcard $(addsuffix /*.cpp,tensor tensor/cpu tensor/mpi autograd nn vq vq/cpu data))
LIBRARY := $(if $(WITH_ONEDNN),$(LIBRARY),$(filter-out tensor/cpu/onednn%,$(LIBRARY)))
LIBRARY := $(if $(MPI_FOUND),$(filter-out tensor/mpi/stub.cpp,$(LIBRARY)),\
  $(filter-out tensor/mpi/%,$(LIBRARY)) tensor/mpi/stub.cpp)
# what needs no CUDA is in every build
PLANS := $(wildcard tensor/cuda/plan_*.cpp)
LIBRARY += $(PLANS)
STUBS := tensor/cuda/stub.cpp tensor/cuda/nccl_stub.cpp vq/cuda/stub.cpp
KERNEL_FILES := $(wildcard tensor/cuda/*.cu vq/cuda/*.cu)
GPU := $(filter-out $(if $(NCCL_FOUND),,tensor/cuda/nccl%) $(STUBS) $(PLANS),$(wildcard tensor/cuda/*.cpp vq/cuda/*.cpp)) \
  $(if $(NCCL_FOUND),,tensor/cuda/nccl_stub.cpp) $(KERNEL_FILES)
PLAN_FILES := $(sort $(wildcard tensor/cuda/plans/*.txt))
PLAN_OBJECT := $(if $(PLANS),$(B)/plan_files.o)
ROOMS := cli run report study generate bench tsne
SHARED := $(wildcard $(ROOMS:%=experiments/%/*.cpp))
TESTS := $(filter-out tests/cuda_on_cpu% tests/test_cuda_on_cpu% tests/install/% tests/network/% \
  tests/ranks/%,$(shell find tests -name '*.cpp'))
RANK_TESTS := $(wildcard tests/ranks/*.cpp)
# our CUDA kernels compiled as plain C++, for tests without a GPU, and the GPUs' communication
SHIM := $(wildcard tests/cuda_on_cpu*.cpp tests/test_cuda_on_cpu*.cpp) tensor/cuda/nccl.cpp $(KERNEL_FILES)
objects = $(patsubst %,$(B)/%.o,$(basename $1))
shim_objects = $(patsubst %,$(B)/shim/%.o,$(basename $1))
BINARIES := $(PROGRAMS:%=$(B)/bin/%)
Q := $(if $(filter 1,$(V)),,@)

.PHONY: all quick test rank-tests paper $(PAPER) readme-tables bench bench-peers torch-check verify-gpu tune-gpu gpu-pack gpu-unpack \
  gpu-rehearsal network-check soak fuzz mutants sanitize data setup examples train evaluate one_step samples sweep install \
  uninstall install-check docs python python-test wheel bundle check-layers size \
  format lint help clean sanitize-build sanitize-build-tests sanitize-build-programs \
  sanitize-build-quick sanitize-flags \
  $(PROGRAMS:%=bin/%)
all: $(PROGRAMS:%=bin/%) $(if $(MPI_FOUND),bin/ranks) ## build the programs (what make does by default)

$(B)/%.o: %.cpp $(B)/flags
	$(info $<)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(OPTIMIZE) $(FLAGS) $(WARNINGS) $(DEFINES) -MMD -MP -c $< -o $@

$(B)/%.o: %.cu $(B)/nvcc-flags
	$(info $<)
	@mkdir -p $(@D)
	$(Q)$(NVCC) $(NVCC_FLAGS) -MMD -MP -MF $(@:.o=.d) -c $< -o $@

$(B)/tensor/cuda/%.o $(B)/vq/cuda/%.o: DEFINES = $(CUDA_INCLUDES)
$(B)/tensor/mpi/%.o: DEFINES = $(MPI_INCLUDES)
$(call objects,$(wildcard tensor/mpi/*.cpp)): $(B)/mpi-flags  # so that another MPI links all anew
$(B)/tests/tensor/test_cudnn_plans.o: DEFINES = $(if $(CUDA_FOUND),-DVERSOR_CUDA=1 $(CUDA_INCLUDES))

ifneq ($(findstring clang,$(CXX)),)
$(B)/tests/%.o: FLAGS += -include tests/sanitizers/capture.h
endif
$(call objects,$(LIBRARY)) $(call shim_objects,$(KERNEL_FILES)): WARNINGS := $(LIBRARY_WARNINGS)
LIBRARY_OBJECTS := $(call objects,$(LIBRARY) $(if $(CUDA_FOUND),$(GPU),$(STUBS))) $(PLAN_OBJECT)
$(LIBRARY_OBJECTS) $(call objects,$(SHARED)): FLAGS += $(POSITION_INDEPENDENT)

# a misaligned access in a kernel ends the program, as on a GPU; SANITIZE=address already includes
# this check
SHIM_FLAGS := $(subst -O3,-O2,$(OPTIMIZE)) $(FLAGS) -DVERSOR_CUDA_ON_CPU -include tests/cuda_on_cpu.h \
  $(if $(SANITIZE),,-fsanitize=alignment -fsanitize-undefined-trap-on-error) -Itests/cuda_headers
$(B)/shim/%.o: %.cu $(B)/flags
	$(info $< (on the CPU))
	@mkdir -p $(@D)
	$(Q)$(CXX) $(SHIM_FLAGS) $(WARNINGS) -MMD -MP -x c++ -c $< -o $@
$(B)/shim/%.o: %.cpp $(B)/flags
	$(info $<)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(SHIM_FLAGS) -MMD -MP -c $< -o $@

# they have large headers but no hot loops; AddressSanitizer triples the compile time of g++ -O1
$(B)/tests/%.o $(B)/experiments/%.o: OPTIMIZE := $(OPTIMIZE:-O3=-O1)
ifeq ($(SANITIZE),address)
$(B)/tests/%.o: OPTIMIZE := $(OPTIMIZE:-O1=-O0)
endif
$(B)/nn/safetensors.o: OPTIMIZE := $(OPTIMIZE:-O3=-O1)
$(B)/experiments/generate/coding_network.o: OPTIMIZE := $(OPTIMIZE)
$(B)/experiments/cli/version.o build/fuzz/experiments/cli/version.o: DEFINES = -DVERSOR_VERSION='"$(VERSION)"' \
  -DVERSOR_COMMIT='"$(COMMIT)"' -DVERSOR_COMPILER_FLAGS='"$(BUILT_WITH)"'
$(B)/experiments/cli/version.o: $(B)/commit

# measured plans as C++: built_in_plans() of tensor/cuda/plan_table.h
$(if $(BUILDS),$(call stamp,$(B)/plan-files,$(PLAN_FILES)))
$(B)/plan-files: ;
$(B)/plan_files.cpp: $(PLAN_FILES) $(B)/plan-files
	@{ echo '#include "tensor/cuda/plan_table.h"'; \
	  echo 'std::vector<versor::cuda::PlanFile> versor::cuda::built_in_plans() { return {'; \
	  for file in $(PLAN_FILES); do printf '{"%s", R"plans(' $$file; cat $$file; echo ')plans"},'; done; \
	  echo '}; }'; } >$@
$(B)/plan_files.o: $(B)/plan_files.cpp $(B)/flags
	$(Q)$(CXX) $(OPTIMIZE) $(FLAGS) -c $< -o $@

$(B)/libversor.a: $(LIBRARY_OBJECTS)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

# libversor.so.0.1, which is also its name in the programs that are linked with it
SHARED_LIBRARY := libversor.so.$(basename $(VERSION))
$(B)/$(SHARED_LIBRARY): $(LIBRARY_OBJECTS)
	$(Q)$(CXX) $(OPTIMIZE) -fopenmp -shared -Wl,-soname,$(@F) -Wl,--no-undefined $^ $(LDFLAGS) $(LIBRARIES) -o $@

$(B)/bin/run_tests: $(call objects,$(TESTS))
$(BINARIES): $(B)/bin/%: $(B)/experiments/%.o
$(B)/bin/run_rank_tests: $(call objects,$(RANK_TESTS))
$(BINARIES) $(B)/bin/run_tests $(B)/bin/run_rank_tests: $(call objects,$(SHARED)) $(B)/libversor.a
	@mkdir -p $(@D)
	$(Q)$(CXX) $(OPTIMIZE) -fopenmp $(filter %.o,$^) $(B)/libversor.a $(LDFLAGS) $(LIBRARIES) -o $@

# only the tests of the library, for QUICK=1 make sanitize; without experiments/ they build quickly
$(B)/bin/run_library_tests: $(call objects,$(filter-out tests/experiments/% tests/fuzz/% \
  tests/test_golden.cpp tests/test_training_on_device.cpp,$(TESTS))) $(B)/libversor.a
	@mkdir -p $(@D)
	$(Q)$(CXX) $(OPTIMIZE) -fopenmp $^ $(LDFLAGS) $(LIBRARIES) -o $@

# the same tests with our CUDA kernels running on the CPU
$(B)/bin/run_kernel_tests: $(call objects,$(filter-out tests/tensor/test_cudnn_plans.cpp,$(TESTS)) \
  $(SHARED) $(LIBRARY)) $(PLAN_OBJECT) $(call shim_objects,$(SHIM))
	@mkdir -p $(@D)
	$(Q)$(CXX) $(OPTIMIZE) -fopenmp $^ $(LDFLAGS) $(LIBRARIES) -o $@

# small programs that explain one thing each; no part of `all`
EXAMPLES := $(patsubst experiments/examples/%.cpp,%,$(wildcard experiments/examples/*.cpp))
EXAMPLE_BINARIES := $(EXAMPLES:%=$(B)/bin/examples/%)
$(EXAMPLE_BINARIES): $(B)/bin/examples/%: $(B)/experiments/examples/%.o $(call objects,$(SHARED)) $(B)/libversor.a
	@mkdir -p $(@D)
	$(Q)$(CXX) $(OPTIMIZE) -fopenmp $(filter %.o,$^) $(B)/libversor.a $(LDFLAGS) $(LIBRARIES) -o $@
examples: $(EXAMPLE_BINARIES) ## build and run experiments/examples; their pictures are in results/examples
	@mkdir -p results/examples
	@for name in $(EXAMPLES); do echo "-- $$name"; $(B)/bin/examples/$$name results/examples || exit 1; done

$(PROGRAMS:%=bin/%): bin/%: $(B)/bin/%
	@mkdir -p bin && ln -sfn ../$< $@

bin/ranks: .make/ranks.sh
	@mkdir -p bin && ln -sfn ../$< $@

-include $(patsubst %.o,%.d,$(call objects,$(LIBRARY) $(TESTS) $(RANK_TESTS) $(GPU) $(STUBS) \
  $(SHARED) $(PROGRAMS:%=experiments/%.cpp) $(EXAMPLES:%=experiments/examples/%.cpp)) $(call shim_objects,$(SHIM)))

# ---- running -------------------------------------------------------------------------------------
# CIFAR-10: the folder CIFAR10_DIR, or what `make data` downloaded. DATA= names other images, as
# --data does, and DATA_DIR= where their files lie.
DOWNLOADED := data/cifar-10-batches-bin
OTHER_DIR := $(if $(findstring command line,$(origin DATA_DIR)),$(DATA_DIR))
DATA_DIR := $(or $(CIFAR10_DIR),$(and $(wildcard $(DOWNLOADED)/data_batch_1.bin),$(DOWNLOADED)))
DATA ?= $(if $(DATA_DIR),cifar10)
FOLDER := --data-dir $(call quote,$(or $(DATA_DIR),$(DOWNLOADED)))
IMAGES = $(if $(filter-out cifar10,$(DATA)),--data $(call quote,$(DATA)) \
  $(if $(OTHER_DIR),--data-dir $(call quote,$(OTHER_DIR))),$(FOLDER)) $(and $(SIZE),--size $(SIZE))
OPTIONS = $(IMAGES) $(and $(SEEDS),--seeds $(SEEDS)) $(and $(EPOCHS),--epochs $(EPOCHS)) \
  $(and $(TRAIN),--train-images $(TRAIN)) $(and $(TEST),--test-images $(TEST)) \
  $(and $(DEVICE),--device $(DEVICE)) $(and $(PRECISION),--precision $(PRECISION)) \
  $(and $(PRESET),--preset $(PRESET))

quick: all ## a miniature of the whole paper in minutes, in results/quick
	@images=$$(DATA=$(call quote,$(DATA)) DATA_DIR=$(call quote,$(OTHER_DIR)) SIZE='$(SIZE)' .make/data.sh images) && mapfile -t images <<<"$$images" && \
	  RESULTS=results/quick SIDE_BY_SIDE=$(CORES) .make/experiments.sh "$(filter-out table_quantizers,$(PAPER))" --quick --quiet "$${images[@]}" && \
	  QUICK=1 RESULTS=results/quick .make/samples.sh

# VERSOR_CUDA: there is a third run of the tests, on the GPU
RANKS ?= 2 3## of rank-tests: the numbers of processes
test: all $(B)/bin/run_tests $(if $(MPI_FOUND),$(B)/bin/run_rank_tests) $(EXAMPLE_BINARIES) \
  $(if $(filter 0,$(KERNELS)),,$(B)/bin/run_kernel_tests) ## build and run all tests; ARGS=... is passed to them
	@VERSOR_BIN=$(call quote,$(CURDIR)/$(B)/bin) VERSOR_CUDA='$(if $(CUDA_FOUND),1)' \
	  RANKS='$(if $(MPI_FOUND),$(RANKS))' .make/test.sh $(ARGS)

rank-tests: $(B)/bin/run_rank_tests ## the tests of several processes: RANKS="2 3"
	@$(if $(MPI_FOUND),,echo "error: without MPI: $(MPI_WHY)" >&2; exit 1;) \
	  VERSOR_BIN=$(call quote,$(CURDIR)/$(B)/bin) RANKS='$(RANKS)' ONLY_RANKS=1 .make/test.sh $(ARGS)

# for .make/sanitize.sh: prints the folder on the last line and leaves bin/ alone
sanitize-build: $(B)/bin/run_kernel_tests
sanitize-build sanitize-build-tests: $(B)/bin/run_tests
sanitize-build sanitize-build-tests sanitize-build-programs: $(BINARIES)
sanitize-build-quick: $(B)/bin/run_library_tests
sanitize-build sanitize-build-tests sanitize-build-programs sanitize-build-quick:
	@echo $(B)
sanitize-flags:
	@echo $(FLAGS) $(MPI_INCLUDES) $(LIBRARY_WARNINGS)

sanitize: ## sanitizers, valgrind, clang-tidy, warnings; PARTS=address for some, QUICK=1 in minutes
	@MAKE='$(MAKE)' .make/sanitize.sh

train evaluate one_step: %: bin/% ## build one program; bin/train --help explains its use

# make -n lists the trainings that would run; -jN runs N at a time
EXPERIMENT = +@DRY='$(DRY)' SIDE_BY_SIDE='$(SIDE_BY_SIDE)' RESULTS=$(call quote,$(RESULTS)) .make/experiments.sh
NEEDS := $(if $(DRY),,all $(if $(DATA),,data))
table1: $(NEEDS) ## the images of CIFAR-10, counted
table2: $(NEEDS) ## the size of the codebook, resumable
table3: $(NEEDS) ## the weight of the commitment loss, resumable; BETA=0.25,2 for some
figures: $(NEEDS) ## reconstructions, codebooks and gradient flow of a run of twice the EPOCHS
table_attribution: $(NEEDS) ## the published runs' choices one by one
table_estimators: $(NEEDS) ## the gradient estimators, all else equal; ESTIMATORS=ste,rotation@2 for some
table_quantizers: $(NEEDS) ## all quantizers at equal bit rate; RATES=640 QUANTIZERS=ste,fsq for some
table1 table2 table3 figures table_attribution table_estimators table_quantizers:
	$(EXPERIMENT) "$@ $(if $(filter table2 table3,$@),verdicts )report" $(OPTIONS) $(if $(filter table3,$@),$(and $(BETA),--beta $(BETA))) \
	  $(if $(filter table_estimators,$@),$(and $(ESTIMATORS),--estimators $(ESTIMATORS)) $(and $(CODEBOOKS),--codebooks $(CODEBOOKS))) \
	  $(if $(filter table_quantizers,$@),$(and $(RATES),--rates $(RATES)) $(and $(QUANTIZERS),--quantizers $(QUANTIZERS)))

# table 3 first: the final run of the figures continues one of its runs
paper: $(NEEDS) ## everything, and the report; at full length this needs a GPU
	$(EXPERIMENT) "table1 table3 figures table2 table_attribution table_estimators verdicts report" $(OPTIONS)

# every variable of the command line that is an option of a training; bin/sweep refuses others
NOT_SWEPT := $(filter-out BETA DEVICE EPOCHS PRECISION PRESET SEED SEEDS TEST TRAIN,$(VARIABLES)) MAKE%
SWEPT = $(foreach name,$(filter-out $(NOT_SWEPT),$(.VARIABLES)),$(if \
  $(and $(findstring command line,$(origin $(name))),$($(name))),$(call quote,$(name)=$($(name)))))
sweep: $(NEEDS) ## all combinations of options: LR=1e-3,2e-3 BETA=0.25,1 BATCH_SIZE=64 SEEDS=1,2 EPOCHS=5 ...
	$(EXPERIMENT) "sweep report" $(SWEPT) $(IMAGES)

samples: $(if $(DRY),,all) ## prior, diffusion, packed file and judged samples: RUN=results/runs/NAME PRIOR='--layers 4' ...
	@RUN=$(call quote,$(RUN)) RESULTS=$(call quote,$(RESULTS)) DEVICE='$(DEVICE)' CLASSIFIER='$(CLASSIFIER)' \
	  PRIOR='$(PRIOR)' DIFFUSION='$(DIFFUSION)' SAMPLES='$(SAMPLES)' .make/samples.sh

verdicts: $(if $(DRY),,all) ## what the runs of full length that are there show about the paper's figures
	$(EXPERIMENT) "verdicts report"

readme-tables: bin/verdicts ## the results in README.md, from experiments/recorded/runs
	@bin/verdicts --readme README.md

report: $(if $(DRY),,all) ## results/report.html from what is there
	$(EXPERIMENT) report

# auto means bf16 where that is fast
BENCH = $(and $(DEVICE),--device $(DEVICE)) --precision $(or $(PRECISION),$(BENCH_PRECISIONS))
BENCH_PRECISIONS := fp32,auto
BENCH_RESULTS := $(or $(RESULTS),results)
bench_file = $(call quote,$(BENCH_RESULTS)/$1.json)
bench: all ## speed of a training step against the floor of bare library calls, and by size
	@mkdir -p $(call quote,$(BENCH_RESULTS))
	bin/bench $(BENCH) --epoch 20 --nearest --quantizers --sweep --json $(call bench_file,bench) $(ARGS)

PYTHON = $(call quote,$(TORCH_PYTHON))
NEEDS_PYTHON = @command -v $(PYTHON) >/dev/null || { echo "error: there is no" $(PYTHON)"; install" \
  "Python 3 and PyTorch or name an interpreter that has it: TORCH_PYTHON=..." >&2; exit 1; }
torch-check: bin/train bin/evaluate ## every model through PyTorch and back; ARGS='--only REGEX --part 1/4'
	$(NEEDS_PYTHON)
	@$(PYTHON) -B experiments/peers/round_trip.py \
	  --out $(call quote,$(BENCH_RESULTS)/torch-round-trip) $(ARGS)
bench-peers: bin/bench $(if $(WITH_ONEDNN),$(B)/bin/onednn_floor) ## our step alternating with PyTorch's
	$(NEEDS_PYTHON)
	@mkdir -p $(call quote,$(BENCH_RESULTS))
	@$(PYTHON) -B experiments/peers/bench_peers.py $(BENCH) \
	  $(if $(WITH_ONEDNN),--floor $(B)/bin/onednn_floor) --json $(call bench_file,bench-peers) $(ARGS)
	@if $(PYTHON) -c 'import faiss' 2>/dev/null; then \
	  $(PYTHON) -B experiments/peers/faiss_nearest.py --json $(call bench_file,bench-faiss); \
	  else echo "not compared with FAISS:" $(PYTHON) "cannot import faiss (pip install faiss-cpu)"; fi

# measures the floor without any of our code
$(B)/bin/onednn_floor: experiments/peers/onednn_floor.cpp $(B)/flags
	$(info $<)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(OPTIMIZE) $(FLAGS) $< $(LDFLAGS) $(LIBRARIES) -o $@

verify-gpu: all $(B)/bin/run_tests ## everything that needs a GPU to verify; PARTS=... for some
	@VERSOR_BIN=$(B)/bin .make/verify_gpu.sh

tune-gpu: bin/probe ## measure cuDNN's engines on this GPU: a file in tensor/cuda/plans; SECONDS=600
	bin/probe --items plans --seconds $(or $(SECONDS),600) --plans tensor/cuda/plans $(ARGS)

# A GPU elsewhere: programs for GPU_ARCH alone and without oneDNN, in a build of their own. DEVICE=cpu
# packs this build's programs, to try it.
GPU_ARCH ?= 90## of gpu-pack: compute capability, 90 for an H100 or H200
PACKED := train evaluate bench probe $(filter table% figures,$(PAPER))
gpu-pack: $(if $(filter cpu,$(DEVICE)),$(PACKED:%=$(B)/bin/%)) ## pack the missing full-size runs for a machine with a GPU; QUEUE= a file
	+@MAKE='$(MAKE)' PACKED='$(PACKED)' GPU_ARCH='$(GPU_ARCH)' VERSOR_BIN='$(B)/bin' DEVICE='$(DEVICE)' \
	  QUEUE=$(call quote,$(QUEUE)) RESULTS=$(call quote,$(RESULTS)) .make/gpu_pack.sh $(IMAGES) $(ARGS)

gpu-unpack: ## merge what came back from there into results/ and experiments/recorded/runs: FILES="archive-00 ..."
	@RESULTS=$(call quote,$(RESULTS)) .make/gpu_unpack.sh $(FILES)

gpu-rehearsal: $(PACKED:%=$(B)/bin/%) ## the way of gpu-pack on the CPU, with tiny trainings
	@VERSOR_BIN=$(B)/bin .make/gpu_rehearsal.sh

# not linked with the library, so it takes no time
$(B)/bin/link_emulator: tests/network/link_emulator.cpp $(B)/flags
	$(info $<)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(OPTIMIZE) $(FLAGS) $< -o $@
network-check: all $(B)/bin/link_emulator ## one training on three hosts in network namespaces; root; PARTS= RATE=1000 (Mbit/s) LATENCY=1 (ms)
	@VERSOR_BIN=$(call quote,$(CURDIR)/$(B)/bin) WITH_MPI='$(MPI_FOUND)' RATE='$(RATE)' LATENCY='$(LATENCY)' \
	  CIFAR10_DIR=$(call quote,$(CIFAR10_DIR)) RESULTS=$(call quote,$(RESULTS)) .make/network.sh

soak: all ## 200 kills and restarts, 10,000 steps, a full disk: KILLS= STEPS= SEED=; RANKS=3: 100 kills of ranks
	@VERSOR_BIN=$(B)/bin RANKS='$(if $(findstring command line,$(origin RANKS)),$(RANKS))' .make/soak.sh

# Without CUDA unless CUDA=1: nvcc would take minutes for some mutants, and our kernels also run on
# the CPU.
MUTANT_BUILD = $(if $(filter 1,$(CUDA)),$B,$(B:build/cuda-%=build/cpu-%))
MUTANT_TESTS = $(patsubst $B/%,$(MUTANT_BUILD)/%,$(BINARIES) $(B)/bin/run_tests $(B)/bin/run_kernel_tests \
  $(if $(MPI_FOUND),$(B)/bin/run_rank_tests))
mutants: ## do the tests see the faults of tests/mutants? ONLY=name,name or SAMPLE=5 for some
	@TARGETS='$(MUTANT_TESTS)' BIN='$(MUTANT_BUILD)/bin' ONLY='$(ONLY)' \
	  SAMPLE='$(SAMPLE)' SEED='$(SEED)' .make/mutants.sh

# Everything that reads outside data, compiled for clang's libFuzzer: single-threaded
# (tests/fuzz/omp.h) and without oneDNN
F := build/fuzz
FUZZ_TARGETS := $(patsubst tests/fuzz/%.cpp,%,$(wildcard tests/fuzz/*.cpp))
FUZZ_FLAGS := -std=c++20 -O1 -gline-tables-only -D_GLIBCXX_ASSERTIONS -DVERSOR_FUZZ -Itests/fuzz \
  -I. -isystem .deps/include -fsanitize=fuzzer-no-link,address,undefined,float-cast-overflow \
  -fno-sanitize-recover=all -ffp-contract=off
FUZZED := $(filter-out tensor/cpu/onednn% tensor/mpi/%,$(LIBRARY)) $(STUBS) tensor/mpi/stub.cpp \
  $(wildcard experiments/cli/*.cpp experiments/report/*.cpp experiments/run/*.cpp) \
  $(patsubst %,experiments/%.cpp,study/published_runs study/runs tsne/points) \
  $(patsubst %,experiments/generate/%.cpp,symbol_sequence prior pixel_cnn network_trainer \
    range_coder coding_network packed_symbols)
fuzz_objects = $(patsubst %.cpp,$F/%.o,$1)
$(if $(BUILDS),$(call stamp,$F/flags,$(FUZZ_FLAGS)))
$F/flags: ;
$F/%.o: %.cpp $F/flags
	$(info $< (for the fuzzer))
	@mkdir -p $(@D)
	$(Q)clang++ $(FUZZ_FLAGS) $(DEFINES) -MMD -MP -c $< -o $@
$F/libversor.a: $(call fuzz_objects,$(FUZZED))
	@rm -f $@
	$(Q)$(AR) rcs $@ $^
$(FUZZ_TARGETS:%=$F/bin/%): $F/bin/%: $F/tests/fuzz/%.o $F/libversor.a
	@mkdir -p $(@D)
	$(Q)clang++ $(FUZZ_FLAGS) -fsanitize=fuzzer $^ $(filter-out -ldnnl $(CUDA_LIBRARIES) $(MPI_LIBRARIES),$(LIBRARIES)) -o $@
-include $(patsubst %.o,%.d,$(call fuzz_objects,$(FUZZED) $(FUZZ_TARGETS:%=tests/fuzz/%.cpp)))

fuzz: ## libFuzzer on every reader of outside data; SECONDS=60 each, TARGETS=..., JOBS=1
	+@TIME='$(or $(SECONDS),60)' TARGETS='$(or $(TARGETS),$(FUZZ_TARGETS))' JOBS='$(or $(JOBS),1)' \
	  .make/fuzz.sh

data: ## download CIFAR-10 to data/cifar-10-batches-bin; with CIFAR10_DIR, check that folder
	@.make/data.sh

# ---- Python --------------------------------------------------------------------------------------
ifneq ($(if $(DRY),,$(FOR_PYTHON)),)
PYTHON_SETUP := $(shell .make/python.sh $(call quote,$(PYTHON3)))
ifneq ($(.SHELLSTATUS),0)
$(error the set-up is not complete, see above)
endif
$(call stamp,$(B)/python-flags,$(PYTHON_SETUP))
endif
$(B)/python-flags: ;
BINDINGS := $(call objects,$(wildcard python/bindings/*.cpp))
$(BINDINGS): FLAGS += $(POSITION_INDEPENDENT) -fvisibility=hidden
$(BINDINGS): DEFINES = $(wordlist 2,9,$(PYTHON_SETUP))
$(BINDINGS): OPTIMIZE := $(OPTIMIZE:-O3=-O1)
$(BINDINGS): $(B)/python-flags
PYTHON_MODULE := python/versor$(firstword $(PYTHON_SETUP))
$(PYTHON_MODULE): $(BINDINGS) $(call objects,$(filter experiments/cli/% experiments/run/%,$(SHARED))) $(B)/libversor.a
	$(Q)$(CXX) $(OPTIMIZE) -fopenmp -shared $^ $(LDFLAGS) $(LIBRARIES) -o $@
-include $(BINDINGS:.o=.d)

python: $(PYTHON_MODULE) ## the Python module, in python/: PYTHONPATH=python python3 python/examples/mlp.py
	@echo "made $(PYTHON_MODULE)"

python-test: python ## test the Python module; PYTHON3= one with NumPy and PyTorch tests these too
	@PYTHONPATH=python OMP_NUM_THREADS=1 $(call quote,$(PYTHON3)) -B -m unittest discover -s python/tests

wheel: python ## a wheel of it, in build/wheel
	@$(call quote,$(PYTHON3)) -m pip wheel -q --no-deps --no-build-isolation -w build/wheel ./python
	@ls build/wheel/*.whl

# ---- set-up, quality, use elsewhere --------------------------------------------------------------
setup: ## search again for compiler and libraries, and install what is missing
	@echo "found: $(COMPILER) ($(CXX)), oneDNN $(or $(ONEDNN_FOUND),none), $(or $(CUDA_FOUND),no CUDA: $(CUDA_WHY))," \
	  "$(or $(MPI_FOUND),no MPI: $(MPI_WHY))"

bundle: ## copy oneDNN and headers to .deps, for a machine without network and root
	@.make/bundle.sh $(call quote,$(CXX)) $(ONEDNN)

install: all $(B)/$(SHARED_LIBRARY) ## copy programs, library and headers to PREFIX (/usr/local), for pkg-config and CMake
	@PROGRAMS='$(PROGRAMS)' VERSION='$(VERSION)' LIBRARIES=$(call quote,$(strip $(LIBRARIES))) \
	  .make/install.sh $(call quote,$(DESTDIR)$(PREFIX)) '$(B)'

docs: ## the library's interface as HTML, with doxygen: build/docs/html/index.html
	@.make/docs.sh '$(VERSION)'

uninstall: ## remove what make install put under PREFIX
	@.make/install.sh --remove $(call quote,$(DESTDIR)$(PREFIX))

install-check: ## install for a try, and build tests/install against it with pkg-config and CMake
	+@MAKE='$(MAKE)' CXX='$(CXX)' .make/install_check.sh

check-layers: ## check that includes only go one way between the layers
	@.make/check_layers.sh

size: ## lines per folder, and files over 400 lines
	@.make/size.sh

format: ## run clang-format on every source
	@.make/sources.sh | xargs clang-format -i

lint: ## check that every source is formatted
	@.make/sources.sh | xargs clang-format --dry-run -Werror

clean: ## remove build and bin; results and .deps stay
	$(if $(DRY),rm -rf build bin,@:)

help: ## this list
	@awk -F ':[^#]*## ' '/^[a-z].*: .*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile
	@echo "options:"
	@awk -F ' [?]= .*## ' '/^[A-Z_]+ [?]= .*## / { printf "  %-16s %s\n", $$1 "=", $$2 }' Makefile
	@echo "  SEEDS=1,2,3 EPOCHS= TRAIN= TEST= PRESET= DEVICE= PRECISION= RESULTS=   of tables and figures"
	@echo "                   (TRAIN, TEST: numbers of images; PRESET: versor, published, best; RESULTS: a folder)"
	@echo "  CIFAR10_DIR=     the folder of CIFAR-10, binary version; DATA=synthetic needs none"
	@echo "  DATA= SIZE=      other images: cifar100, mnist, stl10 (DATA_DIR= their folder), a folder of pictures"
	@echo "  CXX=             the compiler: g++ from 12 on, or clang++"
