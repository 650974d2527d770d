# Lists the recipes.
default:
    @just --list

# Formats and lints.
check:
    cargo fmt --all --check
    cargo clippy --locked --workspace --all-targets -- -D warnings

# Licences, sources and doubles of what is built on (needs cargo-deny).
deny:
    cargo deny --locked check --hide-inclusion-graph bans licenses sources

# Everything that needs cargo and nothing else. Most tests wait for a program, a socket or a clock, so several share a processor.
test *ARGS:
    RUST_TEST_THREADS=${RUST_TEST_THREADS:-$(($(nproc) * 3))} cargo test --locked {{ ARGS }}

# The real-engine suite (root): `just test-engine`, `just test-engine system exec`.
test-engine ENGINE='unpacked' *ARGS:
    {{ if ENGINE == 'unpacked' { '.ci/engine --quiet' } else { 'true' } }}
    DOCKGATE_REQUIRE_ENGINE=1 DOCKGATE_ENGINE={{ ENGINE }} cargo test --locked --test e2e -- {{ ARGS }}

# Figures of a release build.
bench *ARGS:
    bench/measure {{ ARGS }}

# The picture in the README, from a real session (root).
picture *ARGS:
    bench/first-minute {{ ARGS }}

# The packages of a release build, proved in a clean Debian (root).
package:
    cargo build --locked --release
    deploy/package/build deb rpm
    deploy/package/prove

# A signed release of the commit that is tagged with its version (docs/verify.md).
release KEY:
    deploy/release/make --key {{ KEY }}

# Formats, and applies what clippy can mend.
fix:
    cargo fmt --all
    cargo clippy --fix --allow-dirty --workspace --all-targets
