//! Stage 6: what a person or a program reads of a plan and of its outcome.

/// An error with its sources, in one line: `cannot … : … : …`.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
