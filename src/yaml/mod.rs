//! Strict YAML for files that people write: one marked parse, and every problem with its place in the file.
//!
//! Bytes become a [`Source`] (UTF-8, no hidden characters), a source becomes a tree of [`Node`]s that know where
//! they stand ([`parse`]), and a [`Reader`] takes values out of the tree, collecting [`Finding`]s instead of
//! stopping at the first. A [`Problem`] is a finding with its file, line, column and source line.
//!
//! What YAML allows and a sysadmin does not expect is refused: anchors, aliases, merge keys, tags, directives,
//! several documents, and plain words that another YAML reader would take for something else (`no`, `0123`, `12:30`).

mod did_you_mean;
mod explain;
mod node;
mod problem;
mod reader;
mod scalar;
mod source;
mod tree;
mod values;
mod visible;
mod write;

pub use did_you_mean::nearest;
pub use node::{Entry, Node, Span, Style, Value};
pub use problem::{Excerpt, Finding, Position, Problem, Severity};
pub use reader::{Field, Fields, Reader, Text};
pub use scalar::Reading;
pub use source::Source;
pub use tree::{Parsed, parse};
pub use visible::quoted;
pub use write::{to_yaml, write_tenant_file};

/// How much of a file is read before it is refused. What is refused costs no more than what is accepted.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Size of the file in bytes.
    pub bytes: usize,
    /// Mappings and lists within each other.
    pub depth: usize,
    /// Keys and values together.
    pub nodes: usize,
}

impl Limits {
    /// A tenant's file: 1 MiB holds some ten thousand settings; the schema is three levels deep.
    pub const TENANT: Self = Self { bytes: 1 << 20, depth: 16, nodes: 20_000 };
    /// `tenantd.yaml`: 4 MiB hold several thousand PBX instances; the schema is four levels deep.
    pub const CONFIG: Self = Self { bytes: 4 << 20, depth: 16, nodes: 200_000 };
}
