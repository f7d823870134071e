# The commands of every day; each is one line, so that `just` is no need to have. `just` alone lists them.

# List the commands.
default:
    @just --list

# Serve the credit ledger on a SQLite file, with two tokens and the lines to try.
serve:
    cargo run -p credit-ledger

# Check formats and lints of all targets.
lint:
    cargo fmt --check
    cargo clippy --workspace --all-targets

# Run the tests whose names hold the words: `just test http push::`.
test binary filter:
    cargo test --workspace --test {{binary}} -- {{filter}}

# Run all suites, as continuous integration does.
test-all:
    tests/run

# Run all suites with ten times as many seeds, and check the dependencies.
test-more:
    tests/run --all

# Write anew what is compared with files: compiler messages, snapshots, the book's page of error codes.
bless:
    TRYBUILD=overwrite cargo test --workspace --test ui
    NIZHAL_BLESS=1 cargo test --workspace --test front --test book
    INSTA_UPDATE=always cargo test --workspace --lib

# Build the book into book/book.
book:
    mdbook build book
