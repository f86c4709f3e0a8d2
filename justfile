# Short names for the checks; .ci/run holds them.

# list the recipes
default:
    @just --list

# everything that must hold before a change lands
ci:
    .ci/run

# install what the checks need
install:
    .ci/run install tools

# format the code
fmt:
    cargo fmt --all

# formatting, clippy, shell scripts, dependencies; after `just install`
lint:
    .ci/run fmt lint deny

# hermetic tests
test *ARGS:
    cargo test {{ARGS}}

# against distribution, skopeo, containerd, podman, helm, oras, crane, cosign, openssl; after `just install`
interop *TESTS:
    cargo build --release
    tests/interop/run.sh {{TESTS}}

# whether tests notice when a module is wrong: just mutants trust
mutants MODULE *ARGS:
    tests/mutants/run.sh {{MODULE}} {{ARGS}}

# measure against the rivals; prints a table
bench *ARGS:
    cargo build --release
    benches/run.sh {{ARGS}}

# documents and their links
docs:
    .ci/run docs

# the whole way, offline, in one folder
demo:
    cargo run --release -- demo
