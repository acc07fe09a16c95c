//! What a connection is opened for.

/// Whether a connection may change anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    ReadOnly,
    ReadWrite,
}

pub(super) type Boxed = Box<dyn std::error::Error + Send + Sync>;
