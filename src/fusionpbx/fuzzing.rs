//! A way for the fuzzer to reach what reads pages, which no one else has a use for.

use super::pages::{self, DomainForm, DomainPage, SettingForm, SettingList, UserPage};
use super::routes::LISTS;

/// Every page there is: whether a text could be it.
pub const PAGES: [fn(&str) -> bool; 13] = [
    |text| {
        // What is said of a text repeats none of it and is short.
        assert!(pages::describe(text).len() < 60);
        pages::instead(text).is_some()
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

/// Reads a text as every page there is; how many of them it could be.
pub fn read_as_every_page(text: &str) -> usize {
    PAGES.iter().filter(|could_be| could_be(text)).count()
}
