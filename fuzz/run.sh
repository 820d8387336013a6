#!/bin/sh
# Runs a fuzz target on the project's own toolchain, without cargo-fuzz: fuzz/run.sh yaml 120
# Arguments: the target, seconds, and a folder of files to start from. A C++ compiler is needed for libFuzzer.
set -eu
target=${1:?which target: yaml, interpolation, dotenv, vault_policy, vault_hcl, gateway_rule, gateway_labels, gateway_file, gateway_preamble or gateway_http}
seconds=${2:-60}
cd "$(dirname "$0")"
passes="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
counters="-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
compares="-Cllvm-args=-sanitizer-coverage-trace-compares"
triple=$(rustc -vV | sed -n 's/^host: //p')
# The triple is named so that the flags do not reach build scripts.
RUSTFLAGS="$passes $counters $compares -Cdebug-assertions -Copt-level=1 -Ccodegen-units=1 --cfg fuzzing" \
    cargo build --quiet --bin "$target" --target "$triple"
mkdir -p "corpus/$target" "artifacts/$target"
exec "${CARGO_TARGET_DIR:-target}/$triple/debug/$target" "corpus/$target" ${3:+"$3"} \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -artifact_prefix="artifacts/$target/"
