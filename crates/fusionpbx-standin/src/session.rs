//! PHP sessions as FusionPBX uses them: identity, one-time messages and form tokens.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::tables::Setting;
use super::tables::hex;

/// A form token: name and value are 64 hexadecimal digits each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub name: String,
    pub value: String,
    used: bool,
}

/// The colour of a message for an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mood {
    Positive,
    Negative,
}

impl Mood {
    pub fn name(self) -> &'static str {
        match self {
            Mood::Positive => "positive",
            Mood::Negative => "negative",
        }
    }
}

/// The account of a signed-in session.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub user_uuid: Uuid,
    pub username: String,
    /// What the account's groups allowed at sign-in; a later grant takes effect at the next sign-in.
    pub permissions: BTreeSet<&'static str>,
}

/// One `$_SESSION`.
#[derive(Debug, Clone, Default)]
pub(super) struct Session {
    pub id: String,
    /// Who is signed in, if anybody.
    pub account: Option<Account>,
    /// The name last tried on the sign-in page, also without success.
    pub username: Option<String>,
    /// Who typed the right password and owes the second factor.
    pub first_factor: Option<Account>,
    /// The list of addresses as the session last loaded it: what versions look at that do not ask again.
    pub block: Option<Setting>,
    /// The domain that the session works in.
    pub domain: Option<Uuid>,
    pub user_agent: String,
    /// When the id was last made new; set by the first request after the sign-in.
    pub created: Option<DateTime<Utc>>,
    /// The session's copy of the list of domains; created again after a write of a domain.
    pub domains: Option<Arc<Vec<(Uuid, String)>>>,
    tokens: BTreeMap<String, Vec<Token>>,
    messages: BTreeMap<Mood, Vec<String>>,
}

impl Session {
    /// Makes a token for a page and retires every token that has been used, whatever its page.
    pub fn new_token(&mut self, page: &str) -> Token {
        for tokens in self.tokens.values_mut() {
            tokens.retain(|token| !token.used);
        }
        let token = Token { name: random_hex(), value: random_hex(), used: false };
        self.tokens.entry(page.to_owned()).or_default().push(token.clone());
        token
    }

    /// Whether the request carries a token of this page. A token that has served stays good until it is retired.
    pub fn take_token<'a>(&mut self, page: &str, field: impl Fn(&str) -> Option<&'a str>) -> bool {
        let Some(tokens) = self.tokens.get_mut(page) else { return false };
        let Some(value) = tokens.iter().find_map(|token| field(&token.name)) else { return false };
        match tokens.iter_mut().find(|token| token.value == value) {
            Some(token) => {
                token.used = true;
                true
            }
            None => false,
        }
    }

    /// Leaves a message for the next page that has a header. The same text twice is shown once.
    pub fn say(&mut self, mood: Mood, text: impl Into<String>) {
        let text = text.into();
        let said = self.messages.entry(mood).or_default();
        if !said.contains(&text) {
            said.push(text);
        }
    }

    pub fn has_messages(&self) -> bool {
        !self.messages.is_empty()
    }

    /// The script lines that show the messages; they are shown once.
    pub fn take_messages(&mut self, delay: &str) -> String {
        let mut script = String::from("//render the messages\n");
        for (mood, texts) in std::mem::take(&mut self.messages) {
            let text = texts.join("<br/>");
            let text = text.replace('\\', "\\\\").replace('\'', "\\'").replace('"', "\\\"");
            script.push_str(&format!("\t\t\tdisplay_message('{text}', '{}', '{delay}');\n", mood.name()));
        }
        script
    }

    pub fn may(&self, permission: &str) -> bool {
        self.account.as_ref().is_some_and(|account| account.permissions.contains(permission))
    }

    /// `session_regenerate_id(true)`: the same contents under a new id.
    pub fn rotate(&mut self) {
        self.id = random_id();
    }
}

/// All sessions by id.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_id: HashMap<String, Session>,
}

impl Sessions {
    /// Takes the session out for one request. PHP is not strict about ids: one it does not know starts an empty
    /// session under that id.
    pub fn open(&mut self, cookie: Option<&str>) -> Session {
        match cookie {
            Some(id) => {
                self.by_id.remove(id).unwrap_or_else(|| Session { id: id.to_owned(), ..Session::default() })
            }
            None => Session { id: random_id(), ..Session::default() },
        }
    }

    pub fn close(&mut self, session: Session) {
        self.by_id.insert(session.id.clone(), session);
    }

    pub fn clear(&mut self) {
        self.by_id.clear();
    }

    /// Whether there is a session under this id, as the user log looks for its file.
    pub fn has(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    pub fn signed_in(&self) -> usize {
        self.by_id.values().filter(|session| session.account.is_some()).count()
    }
}

fn random_hex() -> String {
    hex(&rand::random::<[u8; 32]>())
}

fn random_id() -> String {
    hex(&rand::random::<[u8; 13]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_serves_until_the_next_form_page_retires_it() {
        let mut session = Session::default();
        let token = session.new_token("/a.php");
        let field = |name: &str| (name == token.name).then_some(token.value.as_str());
        assert!(!session.take_token("/b.php", field));
        assert!(session.take_token("/a.php", field));
        assert!(session.take_token("/a.php", field));
        session.new_token("/b.php");
        assert!(!session.take_token("/a.php", field));
    }

    #[test]
    fn an_unused_token_outlives_other_pages() {
        let mut session = Session::default();
        let token = session.new_token("/a.php");
        session.new_token("/a.php");
        session.new_token("/b.php");
        assert!(session.take_token("/a.php", |name| (name == token.name).then_some(token.value.as_str())));
    }
}
