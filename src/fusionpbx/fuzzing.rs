//! The parsers of all pages, for the fuzzer only.

use super::pages::{self, DomainForm, DomainPage, SettingForm, SettingList, UserPage};
use super::routes::LISTS;

/// One function for each page: whether a text can be read as it.
pub const PAGES: [fn(&str) -> bool; 13] = [
    |text| {
        // A description is short and repeats nothing of the text.
        assert!(pages::describe(text).len() < 60);
        pages::substitute_page(text).is_some()
    },
    |text| pages::sign_in_page(text).is_some(),
    |text| pages::version(text).is_some(),
    |text| pages::refusal(text).is_some(),
    |text| pages::enabled_domains(text).is_ok(),
    |text| pages::json_users(text).is_ok(),
    |text| DomainPage::parse(text).is_ok(),
    |text| DomainForm::parse(text).is_ok(),
    |text| SettingList::parse(text).is_ok(),
    |text| SettingForm::parse(text).is_ok(),
    |text| UserPage::parse(text).is_ok(),
    |text| pages::gateway_targets(text, uuid::Uuid::nil()).is_ok(),
    |text| LISTS.iter().any(|list| pages::RoutePage::parse(text, list).is_ok()),
];

/// Reads a text as every page. Returns how many of them it can be.
pub fn read_as_every_page(text: &str) -> usize {
    PAGES.iter().filter(|can_be| can_be(text)).count()
}
