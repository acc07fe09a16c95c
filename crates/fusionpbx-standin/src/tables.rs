//! The stand-in's database: the tables and directories that FusionPBX keeps for its domains.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::rules::{self, NotTaken};

/// Dialplans that FusionPBX makes for a new domain, on master; the releases have a few less.
pub const DIALPLANS_OF_A_DOMAIN: u64 = 34;

/// Tables with rows of a domain, in the order in which a delete empties them (`v_domains` comes last).
pub const TABLES: [&str; 13] = [
    "v_call_flows",
    "v_destinations",
    "v_devices",
    "v_dialplans",
    "v_dialplan_details",
    "v_extensions",
    "v_fax",
    "v_ring_groups",
    "v_voicemails",
    "v_xml_cdr",
    "v_domain_settings",
    "v_user_groups",
    "v_users",
];

/// A row of `v_domains`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainRow {
    pub uuid: Uuid,
    pub name: String,
    /// `None` is SQL's NULL: neither enabled nor disabled, and enabled by FusionPBX's next upgrade.
    pub enabled: Option<bool>,
    pub description: Option<String>,
    pub inserted: DateTime<Utc>,
    pub updated: Option<DateTime<Utc>>,
}

/// A row of `v_domain_settings`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingRow {
    pub uuid: Uuid,
    pub domain_uuid: Uuid,
    pub category: String,
    pub subcategory: String,
    /// The type: `text`, `array`, `numeric`, `boolean`, `name`, `code`, `dir` or `uuid`.
    pub name: String,
    pub value: Option<String>,
    pub order: Option<i64>,
    pub enabled: Option<bool>,
    pub description: Option<String>,
    pub updated: Option<DateTime<Utc>>,
}

/// A row of `v_users` with the names of its groups.
#[derive(Clone, PartialEq, Eq)]
pub struct UserRow {
    pub uuid: Uuid,
    pub domain_uuid: Uuid,
    pub username: String,
    pub email: Option<String>,
    pub enabled: Option<bool>,
    pub groups: BTreeSet<String>,
    pub(super) password: String,
}

impl std::fmt::Debug for UserRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let UserRow { uuid, domain_uuid, username, email, enabled, groups, password: _ } = self;
        f.debug_struct("UserRow")
            .field("uuid", uuid)
            .field("domain_uuid", domain_uuid)
            .field("username", username)
            .field("email", email)
            .field("enabled", enabled)
            .field("groups", groups)
            .finish_non_exhaustive()
    }
}

/// Which list a [`RouteRow`] stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteKind {
    Extension,
    Gateway,
    Dialplan,
}

/// A row of `v_extensions`, `v_gateways` or `v_dialplans`, with what it names of domains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteRow {
    pub uuid: Uuid,
    /// `None` is a global row.
    pub domain_uuid: Option<Uuid>,
    pub kind: RouteKind,
    pub name: String,
    /// `user_context` of an extension.
    pub context: String,
    /// Of a gateway: `proxy`, `realm`, `from_domain`, `register_proxy`, `outbound_proxy`.
    pub fields: BTreeMap<&'static str, String>,
}

/// What FusionPBX keeps of a domain's dialplans. One text stands for the 34 that name the domain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dialplan {
    /// `dialplan_context`: the domain's name, replaced by substring on rename.
    pub context: String,
    /// `dialplan_xml`: names the domain too.
    pub xml: String,
    /// The `timezone=` action, written by the time zone setting.
    pub time_zone: Option<String>,
}

/// Which directory of the switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Directory {
    Recordings,
    Voicemail,
    Fax,
}

/// The directories of the switch that are named after domains.
const DIRECTORIES: [Directory; 3] = [Directory::Fax, Directory::Recordings, Directory::Voicemail];

/// The fields of a domain as posted: `None` is a field left out.
#[derive(Debug, Clone, Copy)]
pub(super) struct DomainFields<'a> {
    pub name: &'a str,
    pub enabled: Option<&'a str>,
    pub description: Option<&'a str>,
}

/// All tables and directories.
#[derive(Debug, Clone, Default)]
pub(super) struct Db {
    domains: BTreeMap<Uuid, DomainRow>,
    by_name: BTreeSet<(String, Uuid)>,
    settings: BTreeMap<Uuid, SettingRow>,
    settings_of: BTreeMap<Uuid, Vec<Uuid>>,
    users: BTreeMap<Uuid, UserRow>,
    users_of: BTreeMap<Uuid, Vec<Uuid>>,
    pub dialplans: BTreeMap<Uuid, Dialplan>,
    /// How many of them a domain gets.
    pub dialplans_of_a_domain: u64,
    /// Rows that tests put in; the dialplans that every domain has are made up when they are shown.
    pub routes: BTreeMap<Uuid, RouteRow>,
    pub rows: BTreeMap<Uuid, BTreeMap<&'static str, u64>>,
    /// The switch's directories by domain name, with the number of files in each.
    pub directories: BTreeMap<(Directory, String), u64>,
}

impl Db {
    /// No domain yet; each that is made gets that many dialplans.
    pub fn new(dialplans_of_a_domain: u64) -> Db {
        Db { dialplans_of_a_domain, ..Db::default() }
    }

    pub fn domain(&self, uuid: Uuid) -> Option<&DomainRow> {
        self.domains.get(&uuid)
    }

    pub fn domain_count(&self) -> usize {
        self.domains.len()
    }

    /// All domains by name, and by uuid where names are equal.
    pub fn domains(&self) -> impl DoubleEndedIterator<Item = &DomainRow> {
        self.by_name.iter().filter_map(|(_, uuid)| self.domains.get(uuid))
    }

    /// The domains with exactly this name; there can be several.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a DomainRow> {
        self.by_name
            .range((name.to_owned(), Uuid::nil())..=(name.to_owned(), Uuid::max()))
            .filter_map(|(_, uuid)| self.domains.get(uuid))
    }

    /// Puts a row in, or over the row with its uuid.
    pub fn put_domain(&mut self, row: DomainRow) {
        if let Some(old) = self.domains.get(&row.uuid) {
            self.by_name.remove(&(old.name.clone(), old.uuid));
        }
        self.by_name.insert((row.name.clone(), row.uuid));
        self.domains.insert(row.uuid, row);
    }

    /// Takes only the row of `v_domains` away.
    pub fn take_domain(&mut self, uuid: Uuid) -> Option<DomainRow> {
        let row = self.domains.remove(&uuid)?;
        self.by_name.remove(&(row.name.clone(), uuid));
        Some(row)
    }

    /// FusionPBX's save of a domain: makes the row with this uuid or overwrites it. Every field is trimmed, what
    /// is left out becomes NULL, and a state that is no boolean makes the database refuse the whole row.
    pub fn save_domain(
        &mut self,
        uuid: Uuid,
        fields: DomainFields<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), NotTaken> {
        let enabled = fields.enabled.filter(|text| !text.is_empty()).map(rules::boolean).transpose()?;
        let old = self.domains.get(&uuid);
        let row = DomainRow {
            uuid,
            name: rules::trim(fields.name).to_owned(),
            enabled,
            description: stored(fields.description),
            inserted: old.map_or(now, |old| old.inserted),
            updated: old.map(|_| now),
        };
        self.put_domain(row);
        Ok(())
    }

    /// Makes the dialplans that the domain has not got yet.
    pub fn import_dialplans(&mut self, uuid: Uuid, name: &str) {
        let rows = self.rows.entry(uuid).or_default();
        if rows.get("v_dialplans").copied().unwrap_or(0) == 0 {
            rows.insert("v_dialplans", self.dialplans_of_a_domain);
            rows.insert("v_dialplan_details", self.dialplans_of_a_domain * 8);
            let xml = format!("<condition field=\"${{domain_name}}\" expression=\"^{name}$\"/>");
            self.dialplans.insert(uuid, Dialplan { context: name.to_owned(), xml, time_zone: None });
        }
    }

    /// What a rename does outside `v_domains`: a substring replacement in every text that may hold the old name,
    /// and the directories. Domain settings are not among those texts. Recordings are moved only when the domain
    /// of anyone who asks has a directory of its own there.
    pub fn rename_dependents(&mut self, uuid: Uuid, old: &str, new: &str, asker: &str) {
        if let Some(dialplan) = self.dialplans.get_mut(&uuid)
            && !old.is_empty()
        {
            dialplan.context = dialplan.context.replace(old, new);
            dialplan.xml = dialplan.xml.replace(old, new);
        }
        for row in self.routes.values_mut().filter(|row| row.domain_uuid == Some(uuid) && !old.is_empty()) {
            row.context = row.context.replace(old, new);
        }
        for kind in DIRECTORIES {
            let asked = kind != Directory::Recordings || self.directory(kind, asker).is_some();
            // An empty directory in the way gives way, as `rename` has it; one with files stays.
            if asked
                && self.directory(kind, new).unwrap_or(0) == 0
                && let Some(files) = self.directories.remove(&(kind, old.to_owned()))
            {
                self.directories.insert((kind, new.to_owned()), files);
            }
        }
    }

    pub fn make_directories(&mut self, name: &str) {
        for kind in [Directory::Recordings, Directory::Voicemail] {
            self.directories.entry((kind, name.to_owned())).or_default();
        }
    }

    /// The number of files in a directory, if there is such a directory.
    pub fn directory(&self, kind: Directory, name: &str) -> Option<u64> {
        self.directories.get(&(kind, name.to_owned())).copied()
    }

    /// Deletes a domain table by table, then the files of its recordings and faxes (the empty directories stay, and
    /// so does its voicemail, which is looked for in another place), then its row: no transaction. With
    /// `stop_after` the work ends after that many tables, and `false` says so.
    pub fn delete_domain(&mut self, uuid: Uuid, stop_after: Option<usize>) -> bool {
        let name = self.domains.get(&uuid).map(|row| row.name.clone());
        for (done, table) in TABLES.iter().enumerate() {
            if stop_after == Some(done) {
                return false;
            }
            self.empty_table(uuid, table);
        }
        if stop_after.is_some_and(|tables| tables >= TABLES.len()) {
            return false;
        }
        if let Some(name) = name {
            for kind in [Directory::Fax, Directory::Recordings] {
                self.directories.entry((kind, name.clone())).and_modify(|files| *files = 0);
            }
        }
        self.rows.remove(&uuid);
        self.take_domain(uuid);
        true
    }

    fn empty_table(&mut self, domain: Uuid, table: &'static str) {
        if let Some(rows) = self.rows.get_mut(&domain) {
            rows.remove(table);
        }
        match table {
            "v_extensions" => {
                self.routes
                    .retain(|_, row| row.domain_uuid != Some(domain) || row.kind != RouteKind::Extension);
            }
            "v_dialplans" => {
                self.routes
                    .retain(|_, row| row.domain_uuid != Some(domain) || row.kind != RouteKind::Dialplan);
                self.dialplans.remove(&domain);
            }
            "v_domain_settings" => {
                for uuid in self.settings_of.remove(&domain).unwrap_or_default() {
                    self.settings.remove(&uuid);
                }
            }
            "v_user_groups" => {
                for uuid in self.users_of.get(&domain).into_iter().flatten() {
                    if let Some(user) = self.users.get_mut(uuid) {
                        user.groups.clear();
                    }
                }
            }
            "v_users" => {
                for uuid in self.users_of.remove(&domain).unwrap_or_default() {
                    self.users.remove(&uuid);
                }
            }
            _ => {}
        }
    }

    pub fn setting(&self, uuid: Uuid) -> Option<&SettingRow> {
        self.settings.get(&uuid)
    }

    pub fn setting_mut(&mut self, uuid: Uuid) -> Option<&mut SettingRow> {
        self.settings.get_mut(&uuid)
    }

    /// The settings of a domain in the order in which they were made.
    pub fn settings_of(&self, domain: Uuid) -> impl Iterator<Item = &SettingRow> {
        self.settings_of.get(&domain).into_iter().flatten().filter_map(|uuid| self.settings.get(uuid))
    }

    /// Every setting of every domain.
    pub fn settings(&self) -> impl Iterator<Item = &SettingRow> {
        self.settings.values()
    }

    pub fn put_setting(&mut self, row: SettingRow) {
        let (uuid, domain) = (row.uuid, row.domain_uuid);
        if let Some(old) = self.settings.insert(uuid, row)
            && old.domain_uuid != domain
            && let Some(list) = self.settings_of.get_mut(&old.domain_uuid)
        {
            list.retain(|other| *other != uuid);
        }
        let list = self.settings_of.entry(domain).or_default();
        if !list.contains(&uuid) {
            list.push(uuid);
        }
    }

    pub fn take_setting(&mut self, domain: Uuid, uuid: Uuid) -> Option<SettingRow> {
        if self.settings.get(&uuid)?.domain_uuid != domain {
            return None;
        }
        if let Some(list) = self.settings_of.get_mut(&domain) {
            list.retain(|other| *other != uuid);
        }
        self.settings.remove(&uuid)
    }

    pub fn user(&self, uuid: Uuid) -> Option<&UserRow> {
        self.users.get(&uuid)
    }

    pub fn user_mut(&mut self, uuid: Uuid) -> Option<&mut UserRow> {
        self.users.get_mut(&uuid)
    }

    pub fn users(&self) -> impl Iterator<Item = &UserRow> {
        self.users.values()
    }

    pub fn users_of(&self, domain: Uuid) -> impl Iterator<Item = &UserRow> {
        self.users_of.get(&domain).into_iter().flatten().filter_map(|uuid| self.users.get(uuid))
    }

    pub fn put_user(&mut self, row: UserRow) {
        let (uuid, domain) = (row.uuid, row.domain_uuid);
        if let Some(old) = self.users.insert(uuid, row)
            && let Some(list) = self.users_of.get_mut(&old.domain_uuid)
        {
            list.retain(|other| *other != uuid);
        }
        self.users_of.entry(domain).or_default().push(uuid);
    }

    pub fn take_user(&mut self, uuid: Uuid) -> Option<UserRow> {
        let row = self.users.remove(&uuid)?;
        if let Some(list) = self.users_of.get_mut(&row.domain_uuid) {
            list.retain(|other| *other != uuid);
        }
        Some(row)
    }

    /// The rows of a list: what tests put in, and the dialplans that every domain has.
    pub fn routes_of(&self, kind: RouteKind) -> Vec<RouteRow> {
        let mut rows: Vec<RouteRow> = self.routes.values().filter(|row| row.kind == kind).cloned().collect();
        if kind == RouteKind::Dialplan {
            for (domain, dialplan) in &self.dialplans {
                rows.extend((0..self.dialplans_of_a_domain).map(|number| RouteRow {
                    uuid: Uuid::new_v5(domain, format!("dialplan {number}").as_bytes()),
                    domain_uuid: Some(*domain),
                    kind,
                    name: format!("dialplan_{number}"),
                    context: dialplan.context.clone(),
                    fields: BTreeMap::new(),
                }));
            }
        }
        rows
    }

    /// A hash over everything that is kept of a domain, dates included.
    pub fn digest(&self, domain: Uuid) -> String {
        let mut hash = Sha256::new();
        hash.update(format!("{:?}\n", self.domains.get(&domain)));
        for setting in self.settings_of(domain) {
            hash.update(format!("{setting:?}\n"));
        }
        for route in self.routes.values().filter(|row| row.domain_uuid == Some(domain)) {
            hash.update(format!("{route:?}\n"));
        }
        for user in self.users_of(domain) {
            hash.update(format!("{user:?} {}\n", user.password));
        }
        hash.update(format!("{:?}\n{:?}\n", self.dialplans.get(&domain), self.rows.get(&domain)));
        if let Some(row) = self.domains.get(&domain) {
            for kind in DIRECTORIES {
                hash.update(format!("{kind:?} {:?}\n", self.directory(kind, &row.name)));
            }
        }
        hex(&hash.finalize())
    }
}

/// A posted text as the database keeps it: trimmed, and NULL where nothing was posted.
pub(super) fn stored(field: Option<&str>) -> Option<String> {
    // An empty field becomes NULL before it is trimmed, so blanks alone are kept as an empty text.
    field.filter(|text| !text.is_empty()).map(|text| rules::trim(text).to_owned())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// A setting as FusionPBX's settings object holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Setting {
    One(String),
    Many(Vec<String>),
}
