//! What differs between the versions of FusionPBX, as far as a client sees it. The pages ask here; nothing else knows
//! of versions. Each line was seen on a real installation of that version.
//!
//! | page | what | 5.2.0 | 5.3.0 | 5.4.4 | 5.5.7 | master |
//! |---|---|---|---|---|---|---|
//! | sign-in | token in the form, `remember` | no | no | no | no | yes |
//! | | cookie | `path=/` | `path=/` | `path=/` | Secure, HttpOnly, SameSite | Secure, HttpOnly, SameSite |
//! | | security headers | no | no | no | yes | yes |
//! | | new session id | yes | yes | no | no | yes |
//! | | body of the redirect | dashboard | dashboard | empty | empty | empty |
//! | | while the web sign-in block is set | as a success, then `access denied` | same | refused | refused | refused |
//! | open session | web sign-in block | not seen | not seen | not seen | seen | seen |
//! | | id rotates after | 8 h | 15 min | 15 min | 15 min | 15 min |
//! | all | stored texts | every sign as an entity | same | same | same | `& < > " '` only |
//! | | messages are shown for | 1750 ms | 1750 ms | 1750 ms | 1750 ms | 3000 ms |
//! | | links and redirects repeat the query | `search` only | same | same | same | yes |
//! | lists | total | `Title (1)` | box | box | box | box |
//! | `domains.php` | name in `data-item-name` | no | no | no | yes | yes |
//! | | toggle asks in the row | no | no | no | yes | yes |
//! | `domain_settings.php` | total | `name (1)` | `name (1)` | box | box | box |
//! | | tables | one in another | one in another | side by side | side by side | side by side |
//! | | secrets | 6 stars | 6 stars | 6 stars | 10 stars | 10 stars |
//! | | wrong token leads to the domain | none | none | none | of the session | of the session |
//! | `domain_setting_edit.php` | long values | input | input | input | input | text area, not escaped |
//! | forms | flag | checkbox | checkbox | checkbox | select | select |
//! | | flag left out | false | false | false | NULL | NULL |
//! | `domain_edit.php` | plain create | enabled always | enabled always | enabled always | as posted | as posted |
//! | | name in use | redirect | redirect | redirect | text | text |
//! | | dialplans of a new domain | 32 | 33 | 34 | 32 | 34 |
//! | `users.php` | contact columns | no | no | yes | yes | yes |
//! | `users.php`, lists of `app/` | link names the domain | no | no | yes | yes | yes |
//! | `user_logs.php` | state of the session | no | yes | yes | yes | yes |
//! | | failed sign-ins | no | no | yes | yes | yes |
//! | `system.php` | version | 5.2.0 | 5.3.3 | 5.4.4 | 5.5.7 | 5.6.4-dev |
//!
//! Up to 5.4.4 the setting `theme`/`input_toggle_style` turns the checkboxes into selects. All versions show a flag
//! that is NULL as on.

use chrono::TimeDelta;

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

    /// What a stand-in speaks that is not told otherwise.
    pub const DEFAULT: Self = Self::Master;

    /// The newest release.
    pub const NEWEST: Self = Self::V5_5;

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
}

/// Sign-in and sessions.
impl PbxProfile {
    pub(super) fn has_sign_in_token(self) -> bool {
        self == Self::Master
    }

    pub(super) fn offers_to_remember(self) -> bool {
        self == Self::Master
    }

    /// Whether cookies and headers say what later versions say for safety.
    pub(super) fn hardens_answers(self) -> bool {
        self >= Self::V5_5
    }

    pub(super) fn renews_the_session_at_sign_in(self) -> bool {
        self <= Self::V5_3 || self == Self::Master
    }

    /// Whether the page continues after the redirect of a sign-in, so that its body is the dashboard.
    pub(super) fn sends_the_dashboard_with_the_redirect(self) -> bool {
        self <= Self::V5_3
    }

    pub(super) fn block_refuses_sign_in(self) -> bool {
        self >= Self::V5_4
    }

    pub(super) fn block_ends_sessions(self) -> bool {
        self >= Self::V5_5
    }

    /// Whether the address list is checked before the session has a domain.
    pub(super) fn knows_the_domain_of_the_host_at_once(self) -> bool {
        self == Self::Master
    }

    pub(super) fn session_id_lives(self) -> TimeDelta {
        if self == Self::V5_2 { TimeDelta::hours(8) } else { TimeDelta::minutes(15) }
    }

    pub(super) fn shows_session_states(self) -> bool {
        self >= Self::V5_3
    }

    pub(super) fn logs_failed_sign_ins(self) -> bool {
        self >= Self::V5_4
    }

    pub(super) fn logs_have_details(self) -> bool {
        self >= Self::V5_5
    }
}

/// How pages look.
impl PbxProfile {
    pub(super) fn escapes_every_sign(self) -> bool {
        self != Self::Master
    }

    pub(super) fn message_delay(self) -> &'static str {
        if self == Self::Master { "3000" } else { "1750" }
    }

    pub(super) fn repeats_queries(self) -> bool {
        self == Self::Master
    }

    pub(super) fn has_total_in_brackets(self, list: ListPage) -> bool {
        self == Self::V5_2 || (self == Self::V5_3 && list == ListPage::Settings)
    }

    pub(super) fn has_cards(self) -> bool {
        self >= Self::V5_3
    }

    pub(super) fn has_item_names(self) -> bool {
        self >= Self::V5_5
    }

    pub(super) fn asks_before_toggling(self) -> bool {
        self >= Self::V5_5
    }

    pub(super) fn nests_setting_tables(self) -> bool {
        self <= Self::V5_3
    }

    pub(super) fn searches_settings(self) -> bool {
        self == Self::Master
    }

    pub(super) fn stars(self) -> &'static str {
        if self >= Self::V5_5 { "**********" } else { "******" }
    }

    /// Whether a long value has a text area, the contents of which are not escaped.
    pub(super) fn has_text_areas(self) -> bool {
        self == Self::Master
    }

    pub(super) fn has_checkboxes(self) -> bool {
        self <= Self::V5_4
    }

    pub(super) fn shows_contacts_of_users(self) -> bool {
        self >= Self::V5_4
    }

    pub(super) fn links_name_domains(self) -> bool {
        self >= Self::V5_4
    }

    pub(super) fn setting_links_change_the_domain(self) -> bool {
        self == Self::Master
    }
}

/// What writes do.
impl PbxProfile {
    /// What a flag that is not posted becomes.
    pub(super) fn flag_left_out(self) -> Option<&'static str> {
        if self >= Self::V5_5 { None } else { Some("false") }
    }

    pub(super) fn enables_what_it_creates(self) -> bool {
        self <= Self::V5_4
    }

    pub(super) fn redirects_from_a_name_in_use(self) -> bool {
        self <= Self::V5_4
    }

    pub(super) fn dialplans_of_a_domain(self) -> u64 {
        match self {
            Self::V5_2 | Self::V5_5 => 32,
            Self::V5_3 => 33,
            Self::V5_4 | Self::Master => super::tables::DIALPLANS_OF_A_DOMAIN,
        }
    }

    pub(super) fn wrong_token_leads_to_the_own_domain(self) -> bool {
        self >= Self::V5_5
    }
}
