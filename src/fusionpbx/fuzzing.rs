//! A way for the fuzzer to reach what reads pages, which nobody else has a use for.

use super::pages::{self, DomainForm, DomainPage, SettingForm, SettingList, UserPage};
use super::routes::LISTS;

/// Reads a text as every page there is; how many of them it could be.
pub fn read_as_every_page(text: &str) -> usize {
    let read = [
        pages::instead(text).is_some(),
        pages::sign_in_token(text).is_some(),
        pages::refusal(text).is_some(),
        pages::enabled_domains(text).is_ok(),
        pages::json_users(text).is_ok(),
        DomainPage::parse(text).is_ok(),
        DomainForm::parse(text).is_ok(),
        SettingList::parse(text).is_ok(),
        SettingForm::parse(text).is_ok(),
        UserPage::parse(text).is_ok(),
        pages::gateway_targets(text, uuid::Uuid::nil()).is_ok(),
        LISTS.iter().any(|list| pages::RoutePage::parse(text, list).is_ok()),
    ];
    // What is said of a text repeats none of it and is short.
    assert!(pages::describe(text).len() < 60);
    read.into_iter().filter(|read| *read).count()
}
