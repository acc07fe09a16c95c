//! The state behind the pages, for anyone who runs the stand-in: to seed, look, change and misbehave.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::fault::{Fault, FaultId};
use super::language::Language;
use super::net::Identity;
use super::request_log::Request;
use super::seed::{NewSetting, NewUser};
use super::state::{self, PbxState, SignIn};
use super::tables::{Db, Dialplan, Directory, DomainRow, RouteKind, RouteRow, SettingRow, TABLES, UserRow};

/// A copy of all tables and directories, as a backup is one.
#[derive(Debug, Clone)]
pub struct Snapshot(Db);

/// The shared state of a stand-in. Copies are cheap and see the same state; every method is done when it returns.
#[derive(Debug, Clone)]
pub struct Handle {
    state: Arc<Mutex<PbxState>>,
    identity: Arc<OnceLock<Arc<Identity>>>,
    started: Instant,
}

impl Handle {
    pub(super) fn new(state: Arc<Mutex<PbxState>>, started: Instant) -> Handle {
        Handle { state, identity: Arc::default(), started }
    }

    pub(super) fn state(&self) -> &Arc<Mutex<PbxState>> {
        &self.state
    }

    pub(super) fn started(&self) -> Instant {
        self.started
    }

    pub(super) fn identity(&self) -> io::Result<Arc<Identity>> {
        if let Some(identity) = self.identity.get() {
            return Ok(identity.clone());
        }
        let made = Arc::new(Identity::generate()?);
        Ok(self.identity.get_or_init(|| made).clone())
    }

    pub(super) fn base_path(&self) -> String {
        self.lock().base_path.clone()
    }

    fn lock(&self) -> MutexGuard<'_, PbxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // --- domains ---

    /// Adds a domain with its dialplans and directories, as the plain create does. `enabled: None` is NULL. Names
    /// are taken as they are, also twice.
    pub fn add_domain(&self, name: &str, enabled: Option<bool>, description: Option<&str>) -> Uuid {
        let uuid = Uuid::new_v4();
        let mut state = self.lock();
        let inserted = state.now();
        let description = description.map(str::to_owned);
        state.db.put_domain(DomainRow {
            uuid,
            name: name.to_owned(),
            enabled,
            description,
            inserted,
            updated: None,
        });
        state.db.import_dialplans(uuid, name);
        state.db.make_directories(name);
        uuid
    }

    /// All domains by name.
    pub fn domains(&self) -> Vec<DomainRow> {
        self.lock().db.domains().cloned().collect()
    }

    /// Number of domains, the superadmin's own included.
    pub fn domain_count(&self) -> usize {
        self.lock().db.domain_count()
    }

    /// The domain with this uuid.
    pub fn domain(&self, uuid: Uuid) -> Option<DomainRow> {
        self.lock().db.domain(uuid).cloned()
    }

    /// All domains with exactly this name; FusionPBX has no unique constraint.
    pub fn domains_named(&self, name: &str) -> Vec<DomainRow> {
        self.lock().db.named(name).cloned().collect()
    }

    /// Changes a domain's row, as an operator or another program would. Only the row: a changed name changes nothing
    /// else. Does nothing when there is no such domain.
    pub fn edit_domain(&self, uuid: Uuid, edit: impl FnOnce(&mut DomainRow)) {
        let mut state = self.lock();
        if let Some(mut row) = state.db.domain(uuid).cloned() {
            edit(&mut row);
            row.updated = Some(state.now());
            state.db.put_domain(row);
        }
    }

    /// Deletes a domain with everything it has.
    pub fn remove_domain(&self, uuid: Uuid) {
        self.lock().db.delete_domain(uuid, None);
    }

    /// A hash over everything of a domain, dates included: equal as long as nothing was written to it.
    pub fn digest_of_domain(&self, uuid: Uuid) -> String {
        self.lock().db.digest(uuid)
    }

    /// The digests of all domains.
    pub fn digests(&self) -> std::collections::BTreeMap<Uuid, String> {
        let state = self.lock();
        state.db.domains().map(|row| (row.uuid, state.db.digest(row.uuid))).collect()
    }

    /// Number of dialplans of a domain.
    pub fn dialplans(&self, uuid: Uuid) -> u64 {
        self.rows(uuid, "v_dialplans")
    }

    /// The text of a domain's dialplans.
    pub fn dialplan(&self, uuid: Uuid) -> Option<Dialplan> {
        self.lock().db.dialplans.get(&uuid).cloned()
    }

    /// The number of files in the switch's directory for a domain of this name; `None` without such a directory.
    pub fn directory(&self, kind: Directory, name: &str) -> Option<u64> {
        self.lock().db.directory(kind, name)
    }

    /// Puts that many files into a directory, made where needed.
    pub fn fill_directory(&self, kind: Directory, name: &str, files: u64) {
        self.lock().db.directories.insert((kind, name.to_owned()), files);
    }

    /// Rows that a domain has in one of [`TABLES`], domain settings and users included.
    pub fn rows(&self, uuid: Uuid, table: &str) -> u64 {
        let state = self.lock();
        let count = match table {
            "v_domain_settings" => state.db.settings_of(uuid).count(),
            "v_users" => state.db.users_of(uuid).count(),
            "v_user_groups" => state.db.users_of(uuid).map(|user| user.groups.len()).sum(),
            _ => return state.db.rows.get(&uuid).and_then(|rows| rows.get(table)).copied().unwrap_or(0),
        };
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    /// Sets the number of rows of a domain in a table that is only counted, such as `v_extensions`.
    pub fn set_rows(&self, uuid: Uuid, table: &str, rows: u64) {
        if let Some(table) = TABLES.into_iter().find(|known| *known == table) {
            self.lock().db.rows.entry(uuid).or_default().insert(table, rows);
        }
    }

    /// Call records of a domain.
    pub fn call_records(&self, uuid: Uuid) -> u64 {
        self.rows(uuid, "v_xml_cdr")
    }

    // --- settings ---

    /// The settings of a domain in the order in which they were made.
    pub fn settings(&self, domain: Uuid) -> Vec<SettingRow> {
        self.lock().db.settings_of(domain).cloned().collect()
    }

    /// Adds a setting; the same one twice makes two rows.
    pub fn add_setting(&self, domain: Uuid, setting: NewSetting<'_>) -> Uuid {
        let uuid = Uuid::new_v4();
        self.put_setting(domain, uuid, setting);
        uuid
    }

    /// Adds a setting under a uuid of the caller's, or overwrites the one that has it.
    pub fn put_setting(&self, domain: Uuid, uuid: Uuid, setting: NewSetting<'_>) {
        let NewSetting { category, subcategory, name, value, enabled, description } = setting;
        self.lock().db.put_setting(SettingRow {
            uuid,
            domain_uuid: domain,
            category: category.to_owned(),
            subcategory: subcategory.to_owned(),
            name: name.to_owned(),
            value: Some(value.to_owned()),
            order: (name == "array").then_some(10),
            enabled: Some(enabled),
            description: (!description.is_empty()).then(|| description.to_owned()),
            updated: None,
        });
    }

    /// Changes a setting. Does nothing when there is no such setting.
    pub fn edit_setting(&self, uuid: Uuid, edit: impl FnOnce(&mut SettingRow)) {
        let mut state = self.lock();
        let now = state.now();
        if let Some(row) = state.db.setting_mut(uuid) {
            edit(row);
            row.updated = Some(now);
        }
    }

    /// Deletes a setting.
    pub fn remove_setting(&self, domain: Uuid, uuid: Uuid) {
        self.lock().db.take_setting(domain, uuid);
    }

    // --- users ---

    /// Adds a user.
    pub fn add_user(&self, user: NewUser) -> Uuid {
        let NewUser { domain, username, password, enabled, groups } = user;
        let uuid = Uuid::new_v4();
        self.lock().db.put_user(UserRow {
            uuid,
            domain_uuid: domain,
            username,
            email: None,
            enabled,
            groups: groups.into_iter().collect(),
            password,
        });
        uuid
    }

    /// All users of all domains, in no order that means anything.
    pub fn users(&self) -> Vec<UserRow> {
        self.lock().db.users().cloned().collect()
    }

    /// Changes a user. Does nothing when there is no such user.
    pub fn edit_user(&self, uuid: Uuid, edit: impl FnOnce(&mut UserRow)) {
        if let Some(row) = self.lock().db.user_mut(uuid) {
            edit(row);
        }
    }

    /// Changes a user's password.
    pub fn set_password(&self, uuid: Uuid, password: &str) {
        self.edit_user(uuid, |row| password.clone_into(&mut row.password));
    }

    /// Deletes a user.
    pub fn remove_user(&self, uuid: Uuid) {
        self.lock().db.take_user(uuid);
    }

    // --- where calls go ---

    /// Adds an extension, a gateway or a dialplan.
    pub fn add_route(
        &self,
        domain: Option<Uuid>,
        kind: RouteKind,
        name: &str,
        context: &str,
        fields: &[(&'static str, &str)],
    ) -> Uuid {
        let uuid = Uuid::new_v4();
        let fields = fields.iter().map(|(field, value)| (*field, (*value).to_owned())).collect();
        let (name, context) = (name.to_owned(), context.to_owned());
        let row = RouteRow { uuid, domain_uuid: domain, kind, name, context, fields };
        self.lock().db.routes.insert(uuid, row);
        uuid
    }

    // --- what disabling does ---

    /// Whether a tenant's user can sign in on the web from this address: a matter of the account and of the
    /// `domain`/`cidr` settings. Whether the domain is enabled does not matter.
    pub fn can_sign_in(&self, domain: Uuid, username: &str, password: &str, client: IpAddr) -> bool {
        let state = self.lock();
        state.db.domain(domain).is_some()
            && state.authenticate(domain, username, password).is_some()
            && state.admits_sign_in(domain, client) == Ok(true)
    }

    /// Whether phones register and calls come in: the switch asks for an enabled domain.
    pub fn switch_accepts(&self, domain: Uuid) -> bool {
        self.lock().db.domain(domain).is_some_and(|row| row.enabled == Some(true))
    }

    // --- backups, restarts, time ---

    /// A backup of all tables and directories. Sessions, journal and faults are not in it.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.lock().db.clone())
    }

    /// Puts a backup back. Sessions continue.
    pub fn restore(&self, snapshot: &Snapshot) {
        self.lock().db = snapshot.0.clone();
    }

    /// Drops every session, as a restart of a server without kept sessions does.
    pub fn end_sessions(&self) {
        self.lock().sessions.clear();
    }

    /// Number of sessions that are signed in.
    pub fn sessions_signed_in(&self) -> usize {
        self.lock().sessions.signed_in()
    }

    /// Sets the server's clock forward; the sessions' age and the `Date` header follow it.
    pub fn advance_clock(&self, by: Duration) {
        self.lock().clock_ahead += by;
    }

    /// The server's clock.
    pub fn now(&self) -> DateTime<Utc> {
        self.lock().now()
    }

    /// Makes every client seem to come from this address; `None` goes back to the real ones.
    pub fn pretend_client(&self, client: Option<IpAddr>) {
        self.lock().client = client;
    }

    /// Grants the superadmin a permission, `domain_delete` above all. Sessions see it from their next sign-in.
    pub fn grant(&self, permission: &str) {
        self.lock().denied.remove(permission);
    }

    /// Takes a permission away from everybody. Sessions keep theirs until their next sign-in.
    pub fn revoke(&self, permission: &str) {
        if let Some(permission) = state::permission(permission) {
            self.lock().denied.insert(permission);
        }
    }

    /// Changes the language of the pages.
    pub fn set_language(&self, language: Language) {
        self.lock().language = language;
    }

    // --- what was asked ---

    /// Every request since the start or the last clearing, in the order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.lock().journal.requests.clone()
    }

    /// Number of requests that could change something: POSTs that are not the sign-in.
    pub fn mutating_requests(&self) -> usize {
        self.lock().journal.requests.iter().filter(|request| request.mutating).count()
    }

    /// Forgets the requests so far, and the highest counts.
    pub fn clear_requests(&self) {
        self.lock().journal.clear();
    }

    /// The most requests that were under way at once within one session. More than 1 is wasted: PHP takes them one
    /// after the other.
    pub fn max_concurrent_in_one_session(&self) -> usize {
        self.lock().journal.max_in_one_session
    }

    /// The most requests that were under way at once.
    pub fn max_concurrent(&self) -> usize {
        self.lock().journal.max_in_flight
    }

    /// Every attempt to sign in, as the user log has it.
    pub fn sign_ins(&self) -> Vec<SignIn> {
        self.lock().sign_ins.clone()
    }

    /// Number of attempts to sign in, accepted or not.
    pub fn sign_in_count(&self) -> usize {
        self.lock().sign_ins.len()
    }

    // --- faults ---

    /// Arms a fault. Several faults can strike one request.
    pub fn inject(&self, fault: Fault) -> FaultId {
        self.lock().faults.inject(fault)
    }

    /// Disarms one fault.
    pub fn remove_fault(&self, fault: FaultId) {
        self.lock().faults.remove(fault);
    }

    /// Disarms all faults.
    pub fn clear_faults(&self) {
        self.lock().faults.clear();
    }

    /// How many requests a fault has struck.
    pub fn fired(&self, fault: FaultId) -> u32 {
        self.lock().faults.fired(fault)
    }
}
