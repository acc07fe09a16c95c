//! What differs between the versions of FusionPBX, as far as a client sees it. The pages ask here; nothing else knows of
//! versions.
//!
//! | page | what | 5.2.0 | 5.3.0 | 5.4.4 | 5.5.7 | master |
//! |---|---|---|---|---|---|---|
//! | sign-in | token in the form | no | no | no | no | yes |
//! | `domains.php` | name in `data-item-name` | no | no | no | yes | yes |
//! | `domains.php`, `users.php`, lists of `app/` | total | `Title (1)` | box | box | box | box |
//! | `domain_settings.php` | total | `name (1)` | `name (1)` | box | box | box |
//! | `domain_edit.php`, `domain_setting_edit.php` | enabled | checkbox | checkbox | checkbox | select | select |
//! | the same | NULL is shown as | disabled | disabled | disabled | enabled | enabled |
//! | the same, field left out | is stored as | false | false | false | false | NULL |
//! | `users.php` | link names the domain | no | no | yes | yes | yes |
//! | all | dots in names | `&period;` | `&period;` | `&period;` | `&period;` | `.` |
//! | all, in an open session | web sign-in block | not seen | not seen | not seen | seen | seen |
//! | `domain_setting_edit.php` | first time zone of a domain | empty page, saved | redirect | redirect | redirect | redirect |
//! | `system.php` | version | 5.2.0 | 5.3.3 | 5.4.4 | 5.5.7 | 5.6.4-dev |

/// A version of FusionPBX that the stand-in speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PbxProfile {
    V5_2,
    V5_3,
    V5_4,
    V5_5,
    Master,
}

/// A list of FusionPBX's, for what only some of them have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListPage {
    Settings,
    Other,
}

impl PbxProfile {
    pub const ALL: [Self; 5] = [Self::V5_2, Self::V5_3, Self::V5_4, Self::V5_5, Self::Master];

    /// The profile of a version as people write it: a release, or `master`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == text || profile.version() == text)
    }

    /// The name of the release.
    pub fn name(self) -> &'static str {
        match self {
            Self::V5_2 => "5.2.0",
            Self::V5_3 => "5.3.0",
            Self::V5_4 => "5.4.4",
            Self::V5_5 => "5.5.7",
            Self::Master => "master",
        }
    }

    /// What the server calls itself.
    pub fn version(self) -> &'static str {
        match self {
            Self::V5_3 => "5.3.3",
            Self::Master => "5.6.4-dev",
            other => other.name(),
        }
    }

    pub(super) fn has_sign_in_token(self) -> bool {
        self == Self::Master
    }

    pub(super) fn has_item_names(self) -> bool {
        self >= Self::V5_5
    }

    pub(super) fn has_total_in_brackets(self, list: ListPage) -> bool {
        self == Self::V5_2 || (self == Self::V5_3 && list == ListPage::Settings)
    }

    pub(super) fn has_checkboxes(self) -> bool {
        self <= Self::V5_4
    }

    /// What a flag that is not posted becomes.
    pub(super) fn flag_left_out(self) -> Option<bool> {
        if self == Self::Master { None } else { Some(false) }
    }

    pub(super) fn user_links_name_domains(self) -> bool {
        self >= Self::V5_4
    }

    pub(super) fn escapes_dots(self) -> bool {
        self != Self::Master
    }

    pub(super) fn block_ends_sessions(self) -> bool {
        self >= Self::V5_5
    }

    pub(super) fn dies_of_a_first_time_zone(self) -> bool {
        self == Self::V5_2
    }
}
