# A thin front over CMake: every target is one line. `make help` lists them.
PRESET ?= release
BUILD = build/$(PRESET)
JOBS ?= $(shell nproc)
WERROR = $(if $(CI),ON,OFF)
CTEST = ctest --test-dir $(BUILD) --output-on-failure

.PHONY: help build run test unit spec asan-test tsan-test stress coverage fuzz bench lint fmt install clean setup

build: setup ## configure and build (PRESET=release|debug|asan|tsan|coverage|fuzz)
	@cmake --preset $(PRESET) -DLHOTSE_WERROR=$(WERROR) >/dev/null && cmake --build $(BUILD) -j $(JOBS) -- -s --no-print-directory >$(BUILD)/build.log || { cat $(BUILD)/build.log; exit 1; }

run: build ## the main job: an echo server, its clients and a ticker in one script
	@$(BUILD)/lhotse examples/echo/echo.lua $(PORT)

test: build ## every test
	@$(CTEST) -j 1

unit: build ## C units only
	@$(CTEST) -L unit

spec: build ## Lua specs only
	@$(CTEST) -L spec

asan-test: ## every test under the address and undefined behaviour sanitizers
	@$(MAKE) --no-print-directory test PRESET=asan

tsan-test: ## every test under the thread sanitizer
	@$(MAKE) --no-print-directory test PRESET=tsan

stress: ## random operations for an hour (STRESS_SECONDS=3600), under both sanitizers at once
	@export STRESS_SECONDS=$(or $(STRESS_SECONDS),3600); for preset in asan tsan; do $(MAKE) --no-print-directory build PRESET=$$preset || exit 1; done
	@ctest --test-dir build/asan --output-on-failure -L stress & asan=$$!; ctest --test-dir build/tsan --output-on-failure -L stress; tsan=$$?; wait $$asan && exit $$tsan

coverage: ## lines and branches that the tests run, by folder; fails below test/coverage.floors
	@$(MAKE) --no-print-directory build PRESET=coverage && find build/coverage -name '*.gcda' -delete
	@# What fails is looked at elsewhere: users without rights may not write counts, and gcov says so where specs expect nothing.
	@ctest --test-dir build/coverage -LE stress || true
	@build/coverage/lhotse test/coverage.lua build/coverage test/coverage.floors

fuzz: ## every fuzz target, for a minute each (FUZZ_SECONDS=60)
	@scripts/setup --fuzz && FUZZ_SECONDS=$(or $(FUZZ_SECONDS),60) $(MAKE) --no-print-directory build PRESET=fuzz && ctest --test-dir build/fuzz --output-on-failure -L fuzz -j $(JOBS)

bench: ## the table of bench/RESULTS.md: this program beside its peers
	@scripts/setup --bench && $(MAKE) --no-print-directory build && cmake --build $(BUILD) --target bench-programs -j $(JOBS) -- --no-print-directory --quiet && bench/run $(BUILD) $(ROWS)

lint: ## refused calls, luacheck, layout, clang-tidy
	@scripts/lint

fmt: ## layout by clang-format
	@clang-format -i $$(git ls-files '*.c' '*.h')

install: build ## into PREFIX (default /usr/local)
	@cmake --install $(BUILD) $(if $(PREFIX),--prefix $(PREFIX))

setup:
	@scripts/setup

clean: ## remove every build
	@rm -rf build

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16
