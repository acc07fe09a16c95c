//! Rows to fill a stand-in with.

use uuid::Uuid;

/// A setting to add.
#[derive(Debug, Clone)]
pub struct NewSetting<'a> {
    pub category: &'a str,
    pub subcategory: &'a str,
    /// The type: `text`, `array`, `numeric`, `boolean`, `name`, …
    pub name: &'a str,
    pub value: &'a str,
    pub enabled: bool,
    pub description: &'a str,
}

impl<'a> NewSetting<'a> {
    /// An enabled setting without a description.
    pub fn new(category: &'a str, subcategory: &'a str, name: &'a str, value: &'a str) -> NewSetting<'a> {
        NewSetting { category, subcategory, name, value, enabled: true, description: "" }
    }
}

/// A user to add.
#[derive(Debug, Clone)]
pub struct NewUser {
    pub domain: Uuid,
    pub username: String,
    pub password: String,
    pub enabled: Option<bool>,
    /// Names of groups: `superadmin`, `admin`, `user`, …
    pub groups: Vec<String>,
}
