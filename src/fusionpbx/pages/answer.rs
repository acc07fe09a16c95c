//! Which page a text is, if it is not the one that was asked for.

use super::html::{document, selectors};
use super::sign_in::{self, sign_in_page};
use crate::fusionpbx::PbxErrorKind;

selectors! {
    PERSISTED = "input[name='persistformvar']";
    REFUSAL = "div[align='center'] > table td";
}

/// The pages that FusionPBX may send instead of any other page, with status 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fusionpbx) enum SubstitutePage {
    SignInForm,
    AccessDenied,
}

/// The page that FusionPBX sent instead of the one that was asked for, if it did.
pub(in crate::fusionpbx) fn substitute_page(text: &str) -> Option<SubstitutePage> {
    if text.len() < 256 && text.trim() == "access denied" {
        return Some(SubstitutePage::AccessDenied);
    }
    // Parsing is the expensive part of reading a list, so only a text that may hold the form is parsed for it.
    if sign_in::may_be_sign_in_page(text) && sign_in_page(text).is_some() {
        return Some(SubstitutePage::SignInForm);
    }
    None
}

/// The text with which FusionPBX refuses a form, shortened.
pub(in crate::fusionpbx) fn refusal(text: &str) -> Option<String> {
    let document = document(text);
    document.select(&PERSISTED).next()?;
    document
        .select(&REFUSAL)
        .map(|cell| cell.text().collect::<Vec<_>>().join(" "))
        .map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "))
        .find(|text| !text.is_empty())
        .map(|text| text.chars().take(160).collect())
}

/// Describes a text without repeating any of it.
pub(in crate::fusionpbx) fn describe(text: &str) -> String {
    let start = text.trim_start();
    let what = if start.is_empty() {
        "an empty answer"
    } else if start.contains('\0') {
        "text in another encoding"
    } else if start.contains("Fatal error") {
        "a PHP error page"
    } else if start.starts_with('<') {
        "an HTML page of another form"
    } else if start.starts_with(['[', '{']) {
        "JSON of another form"
    } else {
        "text of another form"
    };
    what.to_owned()
}

/// Whether a text is a complete page of FusionPBX, so that asking again would bring the same. A proxy's page, an error
/// and a page that broke off may be another one the next time.
pub(in crate::fusionpbx) fn is_complete_fusionpbx_page(text: &str) -> bool {
    let has_mark = ["main_content", "/themes/default/", "login_logo"].iter().any(|mark| text.contains(mark));
    has_mark && is_complete_html(text)
}

/// Whether a text is a complete HTML page, of whatever program, and not an error of PHP.
pub(in crate::fusionpbx) fn is_complete_html(text: &str) -> bool {
    text.trim_end().ends_with("</html>") && !text.contains("Fatal error")
}

/// The error for a text that is not the expected page.
pub(in crate::fusionpbx) fn unexpected(expected: &'static str, text: &str) -> PbxErrorKind {
    PbxErrorKind::UnexpectedPage { expected, found: describe(text) }
}
