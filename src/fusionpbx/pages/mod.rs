//! What FusionPBX's pages say. Functions of text: no I/O, no panic, whatever the text. A clock only ends
//! what takes too long.

mod domains;
mod list;
mod routes;
mod settings;
mod sign_in;
mod system;
mod users;

use std::fmt;
use std::time::Duration;

use scraper::{ElementRef, Html, Selector};
use tenantd_html::parse_within;
use uuid::Uuid;

pub(super) use domains::{DomainForm, DomainPage, DomainRow, enabled_domains};
pub(super) use routes::{RouteList, RoutePage, RouteRow, gateway_targets};
pub(super) use settings::{SettingForm, SettingList, SettingRow};
pub(super) use sign_in::{SignInPage, sign_in_page};
pub(super) use system::version;
pub(super) use users::{UserPage, UserRow, json_users};

use super::PbxErrorKind;

/// A page as it was read, or why it is not the page that was asked for.
pub(super) type Parsed<T> = Result<T, PbxErrorKind>;

macro_rules! selectors {
    ($($name:ident = $css:literal;)*) => {
        $(pub(super) static $name: std::sync::LazyLock<scraper::Selector> =
            std::sync::LazyLock::new(|| scraper::Selector::parse($css).expect("a selector of this program"));)*
    };
}
use selectors;

selectors! {
    FORM = "form";
    HIDDEN = "input[type='hidden']";
    PERSISTED = "input[name='persistformvar']";
    REFUSAL = "div[align='center'] > table td";
    OPTION = "option";
    SELECTED = "option[selected]";
}

/// The one-time field that a form must send back. It is a secret of the session and prints as nothing.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub name: String,
    pub value: String,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The pages that any request may be answered with instead of the one asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instead {
    SignInForm,
    AccessDenied,
}

/// Recognises an answer with status 200 that is not the page asked for.
pub(super) fn instead(text: &str) -> Option<Instead> {
    if text.len() < 256 && text.trim() == "access denied" {
        return Some(Instead::AccessDenied);
    }
    // Parsing is the dear part of reading a list: only a text that may hold the form is parsed for it.
    if sign_in::may_be(text) && sign_in_page(text).is_some() {
        return Some(Instead::SignInForm);
    }
    None
}

/// The text for people with which FusionPBX refuses a form, shortened.
pub(super) fn refusal(text: &str) -> Option<String> {
    let document = document(text);
    document.select(&PERSISTED).next()?;
    document
        .select(&REFUSAL)
        .map(|cell| cell.text().collect::<Vec<_>>().join(" "))
        .map(|said| said.split_whitespace().collect::<Vec<_>>().join(" "))
        .find(|said| !said.is_empty())
        .map(|said| said.chars().take(160).collect())
}

/// What a text is, in words that repeat none of it.
pub(super) fn describe(text: &str) -> String {
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

/// Whether a text is a page of FusionPBX that came whole, so that asking again would bring the same. A proxy's page, an
/// error and what broke off may be another one the next time.
pub(super) fn is_whole(text: &str) -> bool {
    let end = text.trim_end();
    let is_fusionpbx =
        ["main_content", "/themes/default/", "login_logo"].iter().any(|mark| end.contains(mark));
    is_fusionpbx && end.ends_with("</html>") && !end.contains("Fatal error")
}

fn unexpected(expected: &'static str, text: &str) -> PbxErrorKind {
    PbxErrorKind::UnexpectedPage { expected, found: describe(text) }
}

/// How long a page may take to parse. A page of FusionPBX's takes milliseconds; one that nests without end takes the
/// square of its length, and would keep its instance, and so the pass, for hours.
const PATIENCE: Duration = Duration::from_secs(10);

/// Parses a page, keeping carriage returns, which HTML would turn into newlines.
fn document(text: &str) -> Html {
    if text.contains('\r') {
        document_within(&text.replace('\r', "&#13;"), PATIENCE)
    } else {
        document_within(text, PATIENCE)
    }
}

/// A page that takes longer is read as an empty one, never as a part of itself.
fn document_within(text: &str, patience: Duration) -> Html {
    parse_within(text, patience).unwrap_or_else(Html::new_document)
}

/// The token of a page's form, its last field. A list without rows closes tags that it did not open, which puts the
/// fields behind them outside the form.
fn token(document: &Html) -> Option<Token> {
    let digits = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    document
        .select(&HIDDEN)
        .filter_map(|field| {
            let (name, value) = (field.attr("name")?, field.attr("value")?);
            (digits(name) && digits(value)).then(|| Token { name: name.to_owned(), value: value.to_owned() })
        })
        .next_back()
}

/// The form that edits one thing: by its id, or the only one with this field.
fn edit_form<'a>(document: &'a Html, field: &Selector) -> Option<ElementRef<'a>> {
    selectors! {
        FRM = "form#frm";
        FORM = "form";
    }
    let has_field = |form: &ElementRef<'a>| form.select(field).next().is_some();
    document.select(&FRM).find(has_field).or_else(|| {
        let mut forms = document.select(&FORM).filter(has_field);
        let only = forms.next()?;
        forms.next().is_none().then_some(only)
    })
}

/// The value of the first input with this name. FusionPBX writes the attribute also where there is no value, so one
/// without it is another field.
fn input<'a>(form: ElementRef<'a>, selector: &Selector) -> Option<&'a str> {
    form.select(selector).next()?.attr("value")
}

fn id_in(form: ElementRef<'_>, selector: &Selector) -> Option<Uuid> {
    Uuid::try_parse(input(form, selector)?).ok()
}

/// The value of a select's chosen option.
fn chosen(select: ElementRef<'_>) -> Option<String> {
    select.select(&SELECTED).next().map(option_value)
}

fn option_value(option: ElementRef<'_>) -> String {
    option.attr("value").map_or_else(|| option.text().collect(), str::to_owned)
}

/// A flag of a form: a select of `true` and `false`, or a checkbox, whichever the version and its theme have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flag {
    pub value: bool,
    /// A checkbox says `false` by what it lacks, and says it of NULL as well: worth a second source.
    pub by_absence: bool,
}

/// The flag of a control with this name, or `None` where no control says it.
fn flag(form: ElementRef<'_>, selector: &Selector) -> Option<Flag> {
    let said = |value: &str| match value {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    };
    let mut found = None;
    for control in form.select(selector) {
        let is = match (control.value().name(), control.attr("type")) {
            ("select", _) => Flag { value: said(&chosen(control)?)?, by_absence: false },
            ("input", Some("checkbox" | "radio")) => {
                let checked = control.attr("checked").is_some();
                Flag { value: checked, by_absence: !checked }
            }
            ("input", _) => Flag { value: said(control.attr("value")?)?, by_absence: false },
            _ => continue,
        };
        // A hidden field beside a checkbox says what is sent where the box is not checked.
        found = match found {
            None => Some(is),
            Some(Flag { value, .. }) => Some(Flag { value: value || is.value, by_absence: false }),
        };
    }
    found
}

/// The word in a cell with a button; empty where the column is NULL.
fn word(cell: ElementRef<'_>) -> String {
    selectors! { BUTTON = "button"; }
    let text: String = match cell.select(&BUTTON).next() {
        Some(button) => button.text().collect(),
        None => cell.text().collect(),
    };
    text.trim().to_owned()
}

#[cfg(test)]
mod damaged;
#[cfg(test)]
mod tests;
