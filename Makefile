# cannery. `make run` and `make test` need Node 20, make and a C++ compiler, nothing else.

.PHONY: run test faults fuzz build check servers bench clean

TESTS = $(wildcard test/*.test.ts test/*/*.test.ts)

run: build
	@bash fixtures/run.sh

build: dist/main.cjs

dist/main.cjs: node_modules/.package-lock.json build.mjs warm.mjs wasm.mjs bin/cannery package.json $(shell find src -name '*.ts')
	node build.mjs
	@touch $@

node_modules/.package-lock.json: package-lock.json package.json
	npm ci
	@touch $@

check: build
	npx tsc -p .
	npx biome check --error-on-warnings

test: build
	@bash test/run.sh

# Every point at which a run can be broken; `make test` tries a few of them.
faults: build
	@CANNERY_FAULTS=$${CANNERY_FAULTS:-all} bash test/run.sh --jobs=1 --timeout=0 $(wildcard test/faults/*.test.ts)

# Bad input for twenty minutes; `make test` tries it for one.
fuzz: build
	@CANNERY_FUZZ=$${CANNERY_FUZZ:-1200} bash test/run.sh --jobs=1 --timeout=0 $(wildcard test/fuzz/*.test.ts)

# What things cost, against public tools side by side: a spool of 1.1 GB in build/bench, and an hour or more.
bench: build
	@[ -d build/bench/incoming ] || node bench/spool.mjs --to build/bench
	@node bench/levels.mjs build/bench
	@node bench/pack.mjs build/bench
	@node bench/pipeline.mjs build/bench
	@node bench/slowputs.mjs build/bench
	@node bench/read.mjs build/bench
	@node bench/lookup.mjs build/bench
	@node bench/growth.mjs build/bench
	@node bench/normalise.mjs build/bench
	@node bench/index-rows.mjs
	@node bench/yaml.mjs

servers:
	bash test/servers/radosgw.sh install
	bash test/servers/radosgw.sh start
	bash test/servers/sshd.sh install
	bash test/servers/sshd.sh start
	bash test/servers/strace.sh install
	bash test/servers/duckdb.sh install

clean:
	rm -rf dist build run .tap
