//! The page with the server's state: only its version is read.

use super::{document, selectors};
use crate::model::PbxVersion;

selectors! {
    CELL = "td";
}

/// The version that the page *Status → System* names in its first row, behind a label in the account's language. The
/// rows behind it name other versions (the switch's, PHP's), so no other cell is believed.
pub fn version(text: &str) -> Option<PbxVersion> {
    let document = document(text);
    let cell = document.select(&CELL).nth(1)?;
    PbxVersion::parse(cell.text().collect::<String>().trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_php_is_not_that_of_fusionpbx() {
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
}
