//! What all pages need: a document parsed within a time limit, and the values of a form's fields.

use std::fmt;
use std::time::Duration;

use scraper::{ElementRef, Html, Selector};
use tenantd_html::parse_within;
use uuid::Uuid;

macro_rules! selectors {
    ($($name:ident = $css:literal;)*) => {
        $(pub(super) static $name: std::sync::LazyLock<scraper::Selector> =
            std::sync::LazyLock::new(|| scraper::Selector::parse($css).expect("a selector of this program"));)*
    };
}
pub(super) use selectors;

selectors! {
    OPTION = "option";
}

/// The one-time field that a form must send back. It is a secret of the session: `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::fusionpbx) struct Token {
    pub name: String,
    pub value: String,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// How long parsing a page may take. A page of FusionPBX takes milliseconds. A page nested without end takes the square
/// of its length, and would hold up its instance, and so the pass, for hours.
pub(super) const PARSE_TIME: Duration = Duration::from_secs(10);

/// Parses a page. Carriage returns are kept; HTML would turn them into newlines.
pub(super) fn document(text: &str) -> Html {
    if text.contains('\r') {
        document_within(&text.replace('\r', "&#13;"), PARSE_TIME)
    } else {
        document_within(text, PARSE_TIME)
    }
}

/// Parses a page within a time limit. A page that takes longer is read as an empty one, never in part.
pub(super) fn document_within(text: &str, limit: Duration) -> Html {
    parse_within(text, limit).unwrap_or_else(Html::new_document)
}

/// The token of a page's form, its last field. It is looked for on the whole page: a list without rows closes tags that
/// it did not open, which puts the fields behind them outside the form.
pub(super) fn token(document: &Html) -> Option<Token> {
    selectors! { HIDDEN = "input[type='hidden']"; }
    let is_hexadecimal = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    document
        .select(&HIDDEN)
        .filter_map(|field| {
            let (name, value) = (field.attr("name")?, field.attr("value")?);
            (is_hexadecimal(name) && is_hexadecimal(value))
                .then(|| Token { name: name.to_owned(), value: value.to_owned() })
        })
        .next_back()
}

/// The form of one row: the form with the id `frm`, or the only one with this field.
pub(super) fn edit_form<'a>(document: &'a Html, field: &Selector) -> Option<ElementRef<'a>> {
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

/// The value of the first matching input. FusionPBX writes the attribute even for an empty value, so an input without it
/// is another field.
pub(super) fn input<'a>(form: ElementRef<'a>, selector: &Selector) -> Option<&'a str> {
    form.select(selector).next()?.attr("value")
}

pub(super) fn id_in(form: ElementRef<'_>, selector: &Selector) -> Option<Uuid> {
    Uuid::try_parse(input(form, selector)?).ok()
}

/// The value of the selected option of a select.
pub(super) fn chosen(select: ElementRef<'_>) -> Option<String> {
    selectors! { SELECTED = "option[selected]"; }
    select.select(&SELECTED).next().map(option_value)
}

pub(super) fn option_value(option: ElementRef<'_>) -> String {
    option.attr("value").map_or_else(|| option.text().collect(), str::to_owned)
}

/// A flag of a form: a select of `true` and `false`, or a checkbox, depending on the version and its theme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fusionpbx) struct Flag {
    pub value: bool,
    /// A checkbox shows `false` by a missing attribute, and shows NULL in the same way: a second source is needed.
    pub by_absence: bool,
}

/// The flag that the matching controls show, or `None` if they show none.
pub(super) fn flag(form: ElementRef<'_>, selector: &Selector) -> Option<Flag> {
    let parse = |value: &str| match value {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    };
    let mut found = None;
    for control in form.select(selector) {
        let shown = match (control.value().name(), control.attr("type")) {
            ("select", _) => Flag { value: parse(&chosen(control)?)?, by_absence: false },
            ("input", Some("checkbox" | "radio")) => {
                let checked = control.attr("checked").is_some();
                Flag { value: checked, by_absence: !checked }
            }
            ("input", _) => Flag { value: parse(control.attr("value")?)?, by_absence: false },
            _ => continue,
        };
        // A hidden field beside a checkbox has the value that is sent if the box is not checked.
        found = match found {
            None => Some(shown),
            Some(Flag { value, .. }) => Some(Flag { value: value || shown.value, by_absence: false }),
        };
    }
    found
}

/// The label in a cell with a button; empty if the column is NULL.
pub(super) fn label(cell: ElementRef<'_>) -> String {
    selectors! { BUTTON = "button"; }
    let text: String = match cell.select(&BUTTON).next() {
        Some(button) => button.text().collect(),
        None => cell.text().collect(),
    };
    text.trim().to_owned()
}
