//! `tenantd sandbox poke` and `fast-forward`: what other people do on the PBX, and time, in a sandbox that runs.
//!
//! The stand-ins live in the sandbox's process, so they are controlled over a socket beside its configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::cli::args::Change;
use crate::cli::context::{Context, Failure, Result};
use crate::cli::exit::Exit;
use crate::daemon::pass_requests;
use crate::environment::System;
use crate::model::TenantKey;
use crate::store::Database;
use fusionpbx_standin::Handle;

#[derive(Debug, Serialize, Deserialize)]
enum Request {
    Poke { key: String, change: String },
    FastForward { seconds: i64 },
}

/// Where a sandbox listens.
fn socket(config: &Path) -> PathBuf {
    config.with_file_name("control")
}

/// Sends a request to the sandbox of `--config` and shows its answer.
async fn ask(context: &Context, request: &Request) -> Result<Exit> {
    let path = socket(&context.global.config);
    let none = |error: std::io::Error| {
        Failure::new(format!(
            "no sandbox is running at {} ({error}). Start one with `tenantd sandbox`, and enter the line with \
             `export TENANTD_CONFIG` that it shows",
            path.display()
        ))
    };
    let stream = UnixStream::connect(&path).await.map_err(none)?;
    let mut stream = BufReader::new(stream);
    let line = serde_json::to_string(request).unwrap_or_default() + "\n";
    stream.write_all(line.as_bytes()).await.map_err(none)?;
    let mut answer = String::new();
    stream.read_line(&mut answer).await.map_err(none)?;
    match serde_json::from_str::<std::result::Result<String, String>>(&answer) {
        Ok(Ok(text)) => {
            context.say(&format!("{text}\n"));
            Ok(Exit::Done)
        }
        Ok(Err(text)) => Err(Failure::new(text)),
        Err(_) => Err(Failure::new("the sandbox ended before it answered")),
    }
}

pub async fn poke(context: &Context, key: &TenantKey, change: Change) -> Result<Exit> {
    let change = match change {
        Change::Name => "name",
        Change::Enabled => "enabled",
        Change::Gone => "gone",
    };
    ask(context, &Request::Poke { key: key.to_string(), change: change.to_owned() }).await
}

pub async fn fast_forward(context: &Context, by: std::time::Duration) -> Result<Exit> {
    let seconds = i64::try_from(by.as_secs()).map_err(|error| Failure::of(&error))?;
    ask(context, &Request::FastForward { seconds }).await
}

/// What the sandbox answers from.
pub struct Answering {
    pub database: Database,
    pub pbxs: BTreeMap<String, Handle>,
}

/// Listens until the sandbox ends; its directory, with the socket, goes with it.
pub fn listen(config: &Path, answering: Answering) -> Result<()> {
    let listener = UnixListener::bind(socket(config)).map_err(|error| Failure::of(&error))?;
    let answering = Arc::new(answering);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answering = Arc::clone(&answering);
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                if stream.read_line(&mut line).await.is_err() {
                    return;
                }
                let answer = match serde_json::from_str(&line) {
                    Ok(request) => answering.answer(request).await,
                    Err(error) => Err(format!("the sandbox is of another version ({error})")),
                };
                let text = serde_json::to_string(&answer).unwrap_or_default() + "\n";
                let _ = stream.write_all(text.as_bytes()).await;
            });
        }
    });
    Ok(())
}

impl Answering {
    async fn answer(&self, request: Request) -> std::result::Result<String, String> {
        let answer = match request {
            Request::Poke { key, change } => self.poke(&key, &change).await?,
            Request::FastForward { seconds } => {
                let by = TimeDelta::seconds(seconds);
                let aged = self.database.write(move |store| store.age(by)).await;
                aged.map_err(|error| crate::report::chain(&error))?;
                let days = by.num_days();
                let passed = match days {
                    0 => format!("{} minutes", by.num_minutes()),
                    1 => "1 day".to_owned(),
                    days => format!("{days} days"),
                };
                format!("Moved the recorded times back by {passed}, as if that time had passed.")
            }
        };
        // Drift and an end of retention show at a pass, and the next could be minutes away.
        pass_requests::request_pass(&self.database, &System, None, true)
            .await
            .map_err(|error| crate::report::chain(&error))?;
        Ok(answer)
    }

    async fn poke(&self, key: &str, change: &str) -> std::result::Result<String, String> {
        let tenants = self.database.read(|store| store.tenants()).await;
        let tenants = tenants.map_err(|error| crate::report::chain(&error))?;
        let record = tenants
            .values()
            .find(|record| record.key.as_str() == key)
            .ok_or_else(|| format!("the tenant {key} is not recorded; `tenantd status` shows all"))?;
        let pbx = self
            .pbxs
            .get(record.definition.instance.as_str())
            .ok_or_else(|| format!("there is no stand-in for {}", record.definition.instance))?;
        let id = record.domain_id.0;
        Ok(match change {
            "enabled" => {
                pbx.edit_domain(id, |row| row.enabled = Some(row.enabled != Some(true)));
                format!(
                    "Switched {} on {} between enabled and disabled, as an administrator would on the PBX.",
                    record.definition.domain, record.definition.instance
                )
            }
            "gone" => {
                pbx.remove_domain(id);
                format!(
                    "Deleted {} on {}, as an administrator would on the PBX.",
                    record.definition.domain, record.definition.instance
                )
            }
            _ => {
                pbx.edit_domain(id, |row| row.description = Some("Changed by hand".to_owned()));
                format!(
                    "Renamed {} on {}, as an administrator would on the PBX.",
                    record.definition.domain, record.definition.instance
                )
            }
        })
    }
}
