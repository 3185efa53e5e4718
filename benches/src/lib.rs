//! Benchmarks of spop and spop-tokio, next to a hand-written limit and to the published `spop`.
//!
//! ```sh
//! cargo bench -p benches                        # criterion's results, then the table of ratios
//! cargo bench -p benches --bench summary        # the table alone
//! cargo run --release -p benches --bin codec-instructions   # the same in instructions, counted by valgrind
//! cargo run --release -p benches --bin front-instructions   # a `Router` next to a `Service` by hand
//! cargo run --release -p benches --bin compare  # whole agents under load, see docs/performance.md
//! ```

pub mod agents;
pub mod cases;
pub mod cli;
pub mod http;
pub mod instructions;
pub mod limit;
pub mod measure;
pub mod process;
pub mod profile;
