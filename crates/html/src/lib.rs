//! Parses an HTML page within a time limit.
//!
//! The parser is generic, so it is compiled where it is called. That is here, and not in `tenantd`, so that Cargo can
//! optimise it in a test build as well: parsing pages is most of what the tests compute.

use std::time::{Duration, Instant};

use html5ever::driver::{ParseOpts, parse_document};
use html5ever::tendril::{StrTendril, TendrilSink as _};
pub use scraper::Html;
use scraper::HtmlTreeSink;

/// How much text the parser gets before the clock is checked, in bytes.
const PIECE: usize = 16 << 10;

/// The tree of a page, or nothing where parsing takes longer than `limit`: a page made to nest without end takes the
/// square of its length. A part of a page is never returned.
#[must_use]
pub fn parse_within(text: &str, limit: Duration) -> Option<Html> {
    let begun = Instant::now();
    let mut parser = parse_document(HtmlTreeSink::new(Html::new_document()), ParseOpts::default());
    let mut rest = text;
    while !rest.is_empty() {
        if begun.elapsed() >= limit {
            return None;
        }
        let end = (PIECE.min(rest.len())..).find(|at| rest.is_char_boundary(*at)).unwrap_or(rest.len());
        let (piece, more) = rest.split_at(end);
        parser.process(StrTendril::from_slice(piece));
        rest = more;
    }
    Some(parser.finish())
}
