//! `tenantd run`

use async_trait::async_trait;

use super::context::{Context, Failure, Result};
use super::exit::Exit;
use super::plan::stop_on_signal;
use crate::config::Config;
use crate::daemon::{self, Equip, Equipment, NotEquipped};
use crate::environment::System;
use crate::store::{Access, Database};

/// Equips the daemon from the configuration file, each time anew.
struct FromFile<'a>(&'a Context);

#[async_trait]
impl Equip for FromFile<'_> {
    async fn equip(&self) -> std::result::Result<Equipment, NotEquipped> {
        let made = async {
            self.0.forget_problems();
            let config = self.0.config_with_secrets()?;
            let database = self.0.database(&config, Access::ReadWrite).await?;
            let clients = self.0.clients(&config)?;
            Ok::<_, Failure>(Equipment {
                config,
                database,
                readers: clients.readers,
                writers: clients.writers,
            })
        };
        match made.await {
            Ok(equipment) => {
                // It serves from now on: what is found when the configuration is read again is a record of the log.
                self.0.only_log();
                Ok(equipment)
            }
            Err(failure) => Err(NotEquipped { message: failure.message, problems: self.0.problems() }),
        }
    }

    async fn reconnect(&self, config: &Config) -> std::result::Result<Database, String> {
        self.0.database(config, Access::ReadWrite).await.map_err(|failure| failure.message)
    }
}

pub async fn run(context: &Context) -> Result<Exit> {
    let stop = stop_on_signal();
    daemon::run(&FromFile(context), &System, &daemon::Log, stop)
        .await
        .map_err(|error| Failure::new(error.message))?;
    Ok(Exit::Done)
}
