//! The tree of a file: values and where they stand.

/// A part of a source, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

/// How a scalar was written. Only a plain one can be mistaken for something that is not text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    /// `'…'` or `"…"`
    Quoted,
    /// `|` or `>`
    Block,
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub span: Span,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Scalar {
        text: String,
        style: Style,
    },
    Sequence(Vec<Node>),
    Mapping(Vec<Entry>),
    /// Reported already (an alias, a tagged or anchored value): a reader passes over it in silence.
    Refused,
}

/// A key and its value. Within a mapping no key stands twice.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub key: String,
    pub key_style: Style,
    pub key_span: Span,
    pub value: Node,
}

impl Entry {
    /// Whether the key is a word with a value, and so surely meant as a key.
    pub fn is_plainly_a_key(&self) -> bool {
        let null =
            matches!(&self.value.value, Value::Scalar { text, style: Style::Plain } if text.is_empty());
        !null && is_word(&self.key)
    }
}

/// Whether a key is made like one, and can be repeated in a message.
pub(super) fn is_word(key: &str) -> bool {
    key.len() <= 60 && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}
