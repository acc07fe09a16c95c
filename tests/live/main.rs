//! The scenario list against a real FusionPBX.
//!
//! It runs where `TENANTD_LIVE_PBX_URL`, `TENANTD_LIVE_PBX_USER` (a superadmin as `user@domain`) and
//! `TENANTD_LIVE_PBX_PASSWORD` are set, with `TENANTD_LIVE_PBX_CA_FILE` or `TENANTD_LIVE_PBX_FINGERPRINT` for a server
//! whose certificate no system root vouches for; `TENANTD_LIVE_PBX2_URL`, `_USER`, `_PASSWORD`, `_CA_FILE` and
//! `_FINGERPRINT` name a second server, for moves. Elsewhere it says that it was skipped, and passes.
//!
//! Every domain that it makes begins with `tenantd-live-` and is removed at the end, where the account may delete
//! domains. A person's browser, which shares nothing with tenantd's client, looks whether it is all true.

#[path = "../common/mod.rs"]
mod common;
mod counting;
mod domains;
mod life;
mod people;
mod person;
mod site;
mod trouble;

/// The scenario's body runs on SQLite and PostgreSQL, one scenario at a time.
#[macro_export]
macro_rules! live {
    ($(#[$meta:meta])* async fn $name:ident(mut $live:ident) $body:block) => {
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports, reason = "a short scenario needs none")]
            use super::*;

            async fn scenario($live: &mut $crate::site::Live) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                let backend = $crate::common::rig::Backend::Sqlite;
                $crate::site::run(stringify!($name), backend, |live| Box::pin(scenario(live))).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                let backend = $crate::common::rig::Backend::Postgres;
                $crate::site::run(stringify!($name), backend, |live| Box::pin(scenario(live))).await;
            }
        }
    };
}
