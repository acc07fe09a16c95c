//! The page *Status → System*, of which only the version is read.

use scraper::ElementRef;

use super::html::{document, selectors};
use crate::model::PbxVersion;

selectors! {
    ROW = "tr";
}

/// The version in the first row of the page *Status → System*, after a label in the account's language. The rows after it
/// show other versions (of the switch, of PHP), so no other row is used. A row of the table has two cells; a row that only
/// lays out the page has one.
pub fn version(text: &str) -> Option<PbxVersion> {
    let document = document(text);
    let cells = |row: ElementRef<'_>| {
        let cells = row.child_elements().filter(|cell| cell.value().name() == "td");
        let texts: Vec<String> = cells.map(|cell| cell.text().collect()).collect();
        <[String; 2]>::try_from(texts).ok()
    };
    let [_, version] = document.select(&ROW).find_map(cells)?;
    PbxVersion::parse(version.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_php_is_not_taken_for_that_of_fusionpbx() {
        let page = |first: &str| {
            format!(
                "<table><tr><th colspan='2'>System</th></tr>{first}<tr><td>PHP</td><td>8.2.29</td></tr></table></html>"
            )
        };
        let whole = page("<tr><td>Version</td><td>\n\t5.4.4\n</td></tr>");
        assert_eq!(version(&whole).unwrap().as_str(), "5.4.4");
        assert_eq!(version(&page("<tr><td>Git</td><td>Unknown</td></tr>")), None);
        assert_eq!(version(&page("")), None, "no version of a FusionPBX begins with 8");
    }

    #[test]
    fn a_row_that_only_lays_out_the_page_is_skipped() {
        let page = "<table><tr><td align='center'><div>a window, hidden</div></td></tr></table>\
             <table width='100%'><tr><th colspan='2'>System</th></tr>\
             <tr><td class='vncell'>\n\tVersion\n</td><td class='row_style1'>\n\t5.3.3\n</td></tr>\
             <tr><td class='vncell'>PHP</td><td>8.2.29</td></tr></table></html>";
        assert_eq!(version(page).unwrap().as_str(), "5.3.3");
    }
}
