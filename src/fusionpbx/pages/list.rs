//! What FusionPBX's lists have in common, in every version: a heading with the total, a table whose columns can be
//! sorted, rows with a checkbox and a hidden id, the form's token at the end.
//!
//! The versions differ in where a value stands, so each is taken from any of the places that mean it, and places that
//! contradict each other make the list *not understood*.

use scraper::{ElementRef, Html, Selector};
use url::form_urlencoded;
use uuid::Uuid;

use super::{Parsed, Token, selectors};
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

/// A list, as far as all of them are alike.
pub(super) struct List<'a> {
    expected: &'static str,
    pub rows: Vec<Row<'a>>,
    pub token: Token,
    /// Of all pages.
    pub total: usize,
    /// The text of the heading, without the total.
    pub heading: String,
    columns: Vec<String>,
}

/// One row, with its cells.
pub(super) struct Row<'a> {
    pub element: ElementRef<'a>,
    pub cells: Vec<ElementRef<'a>>,
    pub id: Uuid,
}

/// Why a row or a list cannot be read, in words that repeat none of it.
pub(super) fn not_understood(expected: &'static str, found: &str) -> PbxErrorKind {
    PbxErrorKind::UnexpectedPage { expected, found: found.to_owned() }
}

impl<'a> List<'a> {
    /// Reads what all lists have. A list that breaks off has no token, which stands at its end.
    ///
    /// `edit` is the permission without which FusionPBX shows rows that have neither a box nor a link.
    pub fn read(document: &'a Html, text: &str, expected: &'static str, edit: &'static str) -> Parsed<Self> {
        let form = list_form(document).ok_or_else(|| super::unexpected(expected, text))?;
        let token =
            super::token(document).ok_or_else(|| not_understood(expected, "a list that ends early"))?;
        let (heading, total) =
            heading(document).ok_or_else(|| not_understood(expected, "a list without its total"))?;
        let columns = columns(form);
        let mut rows = Vec::new();
        for element in rows_of(form) {
            let cells = cells(element);
            // A cell more or less than the header has makes every column another one.
            if !columns.is_empty() && cells.len() != columns.len() {
                return Err(not_understood(expected, "a row with other columns than its header"));
            }
            let id = row_id(element).ok_or_else(|| no_id(document, expected, edit))?;
            rows.push(Row { element, cells, id });
        }
        Ok(Self { expected, rows, token, total, heading, columns })
    }

    /// Where the column stands that the list can be sorted by under this name: the same in every language.
    pub fn column(&self, name: &str) -> Option<usize> {
        let mut at = self.columns.iter().enumerate().filter(|(_, column)| *column == name);
        let first = at.next()?.0;
        // A list of all domains sorts two columns by the name of the domain; neither is meant.
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

    /// The last cell of the given class.
    pub fn position(&self, class: &str) -> Option<usize> {
        self.cells.iter().rposition(|cell| cell.value().classes().any(|named| named == class))
    }

    /// The text and the place of the link that opens the row's form: the page's file name stands in it.
    pub fn link(&self, page: &str) -> Option<(usize, String)> {
        self.cells.iter().enumerate().find_map(|(at, cell)| {
            let link = cell.select(&LINK).find(|link| leads_to(link.attr("href"), page, self.id))?;
            Some((at, link.text().collect()))
        })
    }

    /// A value of the query with which the row opens its form.
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

/// The form of the list: by its id, or by the rows in it.
fn list_form(document: &Html) -> Option<ElementRef<'_>> {
    selectors! { BY_ID = "form#form_list"; }
    document.select(&BY_ID).next().or_else(|| {
        let mut forms = document.select(&FORMS).filter(|form| form.select(&ID).next().is_some());
        let only = forms.next()?;
        forms.next().is_none().then_some(only)
    })
}

/// The rows: by their class, and any other row of a table that holds an id. Both, so that a row that lost one of its
/// marks is still a row.
fn rows_of(form: ElementRef<'_>) -> Vec<ElementRef<'_>> {
    form.select(&ANY_ROW)
        .filter(|row| {
            let is_header = row.value().classes().any(|class| class == "list-header");
            let by_class = row.value().classes().any(|class| class == "list-row");
            by_class || (!is_header && own(*row, &ID).next().is_some())
        })
        .collect()
}

/// Elements of a row that are not of a table within it.
fn own<'a>(row: ElementRef<'a>, selector: &'a Selector) -> impl Iterator<Item = ElementRef<'a>> {
    row.select(selector).filter(move |element| {
        let nearest = element.ancestors().filter_map(ElementRef::wrap).find(|at| at.value().name() == "tr");
        nearest == Some(row)
    })
}

fn cells(row: ElementRef<'_>) -> Vec<ElementRef<'_>> {
    own(row, &CELL).collect()
}

/// The id of a row: its hidden field, and the link that opens it. Where both stand they must agree.
fn row_id(row: ElementRef<'_>) -> Option<Uuid> {
    let mut fields = own(row, &ID).filter_map(|field| Uuid::try_parse(field.attr("value")?).ok());
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

/// Why a row has no id. An account that may not edit sees no box and no link on the whole page, which has no other
/// cause; anything else is a list of another make.
fn no_id(document: &Html, expected: &'static str, edit: &'static str) -> PbxErrorKind {
    if offers(document, &["[uuid]", "checkbox", "_edit.php"]) {
        not_understood(expected, "a row without an id")
    } else {
        PbxErrorKind::AccessDenied { permission: Some(edit) }
    }
}

/// The names by which the columns can be sorted, by position; empty where one cannot.
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

/// The heading's text and the total in it: in a box of its own (`1,234`), or in brackets at its end (up to 5.2 and on
/// some pages of 5.3). Where both stand they must agree.
fn heading(document: &Html) -> Option<(String, usize)> {
    let mut found: Option<(String, usize)> = None;
    for heading in document.select(&HEADING) {
        let count = heading.select(&COUNT).next().map(|count| number(&count.text().collect::<String>()));
        let bold = heading.select(&BOLD).next();
        let title: String =
            bold.map_or_else(|| heading.text().collect(), |bold| bold.text().collect::<String>());
        let here = match count {
            Some(count) => (title.trim().to_owned(), count?),
            None => {
                let Some((title, total)) = bracketed(title.trim()) else { continue };
                (title, total)
            }
        };
        // A page of two lists is none of tenantd's.
        if found.as_ref().is_some_and(|found| found.1 != here.1) {
            return None;
        }
        found = found.or(Some(here));
    }
    found
}

/// `Domains (12)` is a title and a total.
fn bracketed(text: &str) -> Option<(String, usize)> {
    let (title, total) = text.strip_suffix(')')?.rsplit_once('(')?;
    Some((title.trim_end().to_owned(), number(total)?))
}

/// A number as FusionPBX writes totals: `1,234`.
fn number(text: &str) -> Option<usize> {
    let digits: String = text
        .trim()
        .chars()
        .filter(|c| !matches!(c, ',' | '.' | ' ' | '\u{a0}' | '\u{202f}' | '\''))
        .collect();
    digits.parse().ok()
}

/// Whether a page offers something: an element has one of these words, which every version uses for it, in an
/// attribute. Scripts name all of them on every page.
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
        let read = |html: &str| heading(&super::super::document(html));
        let boxed = "<div class='heading'><b>Domains</b><div class='count'>1,234</div></div>";
        assert_eq!(read(boxed), Some(("Domains".into(), 1234)));
        assert_eq!(read("<div class='heading'><b>Domains (12)</b></div>"), Some(("Domains".into(), 12)));
        assert_eq!(read("<div class='heading'><b id='heading_sub'> (0)</b></div>"), Some((String::new(), 0)));
        assert_eq!(read("<div class='heading'><b>Domains</b></div>"), None);
        assert_eq!(read("<div class='heading'><b>Domains</b><div class='count'>many</div></div>"), None);
        assert_eq!(
            read(&format!("{boxed}<div class='heading'><b>x</b><div class='count'>7</div></div>")),
            None,
            "two totals that differ are none"
        );
    }
}
