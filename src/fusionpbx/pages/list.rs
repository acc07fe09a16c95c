//! What FusionPBX's lists have in common in every version: a heading with the total, a table with sortable columns, rows
//! with a checkbox and a hidden id, and the form's token at the end.
//!
//! The versions differ in where a value is, so it is read from any of its places. If two places contradict each other, the
//! list is *not understood*.

use scraper::{ElementRef, Html, Selector};
use url::form_urlencoded;
use uuid::Uuid;

use super::Parsed;
use super::answer::unexpected;
use super::html::{Token, selectors, token};
use crate::fusionpbx::PbxErrorKind;

selectors! {
    FORMS = "form";
    ANY_ROW = "tr";
    HEADER = "tr.list-header";
    CELL = "td, th";
    LINK = "a";
    ID = "input[name$='[uuid]']";
    HEADING = "div.heading";
    COUNT = "div.count";
    BOLD = "b";
}

/// The parts that all lists have.
pub(super) struct List<'a> {
    expected: &'static str,
    pub rows: Vec<Row<'a>>,
    pub token: Token,
    /// The number of rows of all pages.
    pub total: usize,
    /// The text of the heading without the total.
    pub heading: String,
    columns: Vec<String>,
}

/// One row, with its cells.
pub(super) struct Row<'a> {
    pub element: ElementRef<'a>,
    pub cells: Vec<ElementRef<'a>>,
    pub id: Uuid,
}

/// The error for a list or a form that cannot be read. `found` repeats nothing of it.
pub(super) fn not_understood(expected: &'static str, found: &str) -> PbxErrorKind {
    PbxErrorKind::UnexpectedPage { expected, found: found.to_owned() }
}

impl<'a> List<'a> {
    /// Reads a list. A list that breaks off is an error: its token stands at its end.
    ///
    /// `edit` is the permission without which FusionPBX shows rows that have neither a checkbox nor a link.
    pub fn read(document: &'a Html, text: &str, expected: &'static str, edit: &'static str) -> Parsed<Self> {
        let form = list_form(document).ok_or_else(|| unexpected(expected, text))?;
        let token = token(document).ok_or_else(|| not_understood(expected, "a list that ends early"))?;
        let (heading, total) =
            heading(document).ok_or_else(|| not_understood(expected, "a list without its total"))?;
        let columns = columns(form);
        let mut rows = Vec::new();
        for element in rows_of(form) {
            let cells = cells(element);
            // With more or fewer cells than the header, every column could be another one.
            if !columns.is_empty() && cells.len() != columns.len() {
                return Err(not_understood(expected, "a row with other columns than its header"));
            }
            let id = row_id(element).ok_or_else(|| no_id(document, expected, edit))?;
            rows.push(Row { element, cells, id });
        }
        Ok(Self { expected, rows, token, total, heading, columns })
    }

    /// The position of the column that is sorted by this name. The names are the same in every language.
    pub fn column(&self, name: &str) -> Option<usize> {
        let mut at = self.columns.iter().enumerate().filter(|(_, column)| *column == name);
        let first = at.next()?.0;
        // A list of all domains has two columns sorted by the name of the domain, and neither is wanted.
        at.next().is_none().then_some(first)
    }

    pub fn not_understood(&self, found: &str) -> PbxErrorKind {
        not_understood(self.expected, found)
    }
}

impl Row<'_> {
    /// The text of a cell.
    pub fn text(&self, column: usize) -> Option<String> {
        let cell = self.cells.get(column)?;
        Some(cell.text().collect::<String>().trim().to_owned())
    }

    /// The position of the last cell of the given class.
    pub fn position(&self, class: &str) -> Option<usize> {
        self.cells.iter().rposition(|cell| cell.value().classes().any(|named| named == class))
    }

    /// The position and the text of the link to the row's form on this page.
    pub fn link(&self, page: &str) -> Option<(usize, String)> {
        self.cells.iter().enumerate().find_map(|(at, cell)| {
            let link = cell.select(&LINK).find(|link| leads_to(link.attr("href"), page, self.id))?;
            Some((at, link.text().collect()))
        })
    }

    /// A parameter of the link to the row's form.
    pub fn query(&self, name: &str) -> Option<String> {
        let links = self.element.select(&LINK).filter_map(|link| link.attr("href"));
        self.element.attr("href").into_iter().chain(links).find_map(|link| {
            let (_, query) = link.split_once('?')?;
            let (_, value) = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name)?;
            Some(value.into_owned())
        })
    }
}

fn leads_to(href: Option<&str>, page: &str, id: Uuid) -> bool {
    let Some((path, query)) = href.and_then(|href| href.split_once('?')) else { return false };
    path.ends_with(page)
        && form_urlencoded::parse(query.as_bytes())
            .any(|(key, value)| key == "id" && Uuid::try_parse(&value) == Ok(id))
}

/// The form of the list, found by its id or by its rows.
fn list_form(document: &Html) -> Option<ElementRef<'_>> {
    selectors! { BY_ID = "form#form_list"; }
    document.select(&BY_ID).next().or_else(|| {
        let mut forms = document.select(&FORMS).filter(|form| form.select(&ID).next().is_some());
        let only = forms.next()?;
        forms.next().is_none().then_some(only)
    })
}

/// The rows: those of the class `list-row`, and all others that hold an id. A row that lost one of the two marks must not
/// be missed.
fn rows_of(form: ElementRef<'_>) -> Vec<ElementRef<'_>> {
    form.select(&ANY_ROW)
        .filter(|row| {
            let is_header = row.value().classes().any(|class| class == "list-header");
            let by_class = row.value().classes().any(|class| class == "list-row");
            by_class || (!is_header && own_elements(*row, &ID).next().is_some())
        })
        .collect()
}

/// The matching elements of a row, without those of a table inside it.
fn own_elements<'a>(row: ElementRef<'a>, selector: &'a Selector) -> impl Iterator<Item = ElementRef<'a>> {
    row.select(selector).filter(move |element| {
        let nearest = element.ancestors().filter_map(ElementRef::wrap).find(|at| at.value().name() == "tr");
        nearest == Some(row)
    })
}

fn cells(row: ElementRef<'_>) -> Vec<ElementRef<'_>> {
    own_elements(row, &CELL).collect()
}

/// The id of a row, from its hidden field or its link. If it has both, they must agree.
fn row_id(row: ElementRef<'_>) -> Option<Uuid> {
    let mut fields = own_elements(row, &ID).filter_map(|field| Uuid::try_parse(field.attr("value")?).ok());
    let by_field = fields.next();
    if fields.next().is_some() {
        return None;
    }
    let by_link = row.attr("href").and_then(|link| {
        let (_, query) = link.split_once('?')?;
        let (_, id) = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "id")?;
        Uuid::try_parse(&id).ok()
    });
    match (by_field, by_link) {
        (Some(field), Some(link)) if field != link => None,
        (field, link) => field.or(link),
    }
}

/// The error for a row without an id. If the whole page has no checkbox and no link, the account may not edit. Otherwise
/// the list is of another form.
fn no_id(document: &Html, expected: &'static str, edit: &'static str) -> PbxErrorKind {
    if offers(document, &["[uuid]", "checkbox", "_edit.php"]) {
        not_understood(expected, "a row without an id")
    } else {
        PbxErrorKind::AccessDenied { permission: Some(edit) }
    }
}

/// The names by which the columns are sorted, by position; empty for a column that is not sortable.
fn columns(form: ElementRef<'_>) -> Vec<String> {
    let Some(header) = form.select(&HEADER).next() else { return Vec::new() };
    cells(header)
        .into_iter()
        .map(|cell| {
            cell.select(&LINK)
                .filter_map(|link| link.attr("href"))
                .find_map(|href| {
                    let query = href.split_once('?').map_or(href, |(_, query)| query);
                    form_urlencoded::parse(query.as_bytes())
                        .find(|(key, _)| key == "order_by")
                        .map(|(_, value)| value.into_owned())
                })
                .unwrap_or_default()
        })
        .collect()
}

/// The heading's text and total. The total is in a box of its own (`1,234`), or in brackets at the end of the text (up to
/// 5.2 and on some pages of 5.3). If the page has both, they must agree.
fn heading(document: &Html) -> Option<(String, usize)> {
    let mut found: Option<(String, usize)> = None;
    for heading in document.select(&HEADING) {
        let count = heading.select(&COUNT).next().map(|count| number(&count.text().collect::<String>()));
        let bold = heading.select(&BOLD).next();
        let title: String =
            bold.map_or_else(|| heading.text().collect(), |bold| bold.text().collect::<String>());
        let this = match count {
            Some(count) => (title.trim().to_owned(), count?),
            None => {
                let Some((title, total)) = bracketed(title.trim()) else { continue };
                (title, total)
            }
        };
        // tenantd uses no page with two lists.
        if found.as_ref().is_some_and(|found| found.1 != this.1) {
            return None;
        }
        found = found.or(Some(this));
    }
    found
}

/// The title and the total of `Domains (12)`.
fn bracketed(text: &str) -> Option<(String, usize)> {
    let (title, total) = text.strip_suffix(')')?.rsplit_once('(')?;
    Some((title.trim_end().to_owned(), number(total)?))
}

/// A total as FusionPBX writes it: `1,234`.
fn number(text: &str) -> Option<usize> {
    let digits: String = text
        .trim()
        .chars()
        .filter(|c| !matches!(c, ',' | '.' | ' ' | '\u{a0}' | '\u{202f}' | '\''))
        .collect();
    digits.parse().ok()
}

/// Whether a page offers an action: an attribute of an element contains one of these words, which all versions use for it.
/// Text does not count, because scripts contain all words on every page.
pub(super) fn offers(document: &Html, words: &[&str]) -> bool {
    document
        .tree
        .values()
        .filter_map(|node| node.as_element())
        .any(|element| element.attrs().any(|(_, value)| words.iter().any(|word| value.contains(word))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_is_read_from_a_box_or_from_brackets() {
        let read = |html: &str| heading(&super::super::html::document(html));
        let boxed = "<div class='heading'><b>Domains</b><div class='count'>1,234</div></div>";
        assert_eq!(read(boxed), Some(("Domains".into(), 1234)));
        assert_eq!(read("<div class='heading'><b>Domains (12)</b></div>"), Some(("Domains".into(), 12)));
        assert_eq!(read("<div class='heading'><b id='heading_sub'> (0)</b></div>"), Some((String::new(), 0)));
        assert_eq!(read("<div class='heading'><b>Domains</b></div>"), None);
        assert_eq!(read("<div class='heading'><b>Domains</b><div class='count'>many</div></div>"), None);
        assert_eq!(
            read(&format!("{boxed}<div class='heading'><b>x</b><div class='count'>7</div></div>")),
            None,
            "two totals that contradict each other"
        );
    }
}
