//! The crate against frames that HAProxy and agents exchanged, and against every way to cut or flip them.
//!
//! The frames and what they hold are described in `tests/frames/README.md`.

mod corpus;
mod decode;
mod encode;
mod headers;
mod replay;
mod sweep;
mod value;
mod walk;
