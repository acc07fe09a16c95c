//! A process's client of a model PBX, with faults on the way.

use std::sync::Arc;

use async_trait::async_trait;
use tenantd::fusionpbx::{DomainList, PbxCheck, PbxError, PbxErrorKind, PbxRead, PbxWrite, is_permitted};
use tenantd::model::{
    DomainId, InstanceKey, NewDomain, PbxDomain, PbxSetting, PbxUser, PbxVersion, SettingId,
};

use crate::faults::Fate;
use crate::model_pbx::{Mutation, Server};
use crate::state::{Late, SharedState, State};

#[derive(Clone)]
pub struct ModelClient {
    pub shared: Arc<SharedState>,
    pub instance: InstanceKey,
}

fn error(operation: &str, kind: PbxErrorKind) -> PbxError {
    PbxError::new(operation, kind)
}

fn unreachable() -> PbxErrorKind {
    PbxErrorKind::Unreachable { detail: "connection refused".into() }
}

fn lost() -> PbxErrorKind {
    PbxErrorKind::OutcomeUnknown { detail: "the connection was reset".into() }
}

impl ModelClient {
    /// Reads with faults; the answer is made at one point and arrives at a later one.
    async fn read<T>(
        &self,
        operation: &str,
        list: bool,
        answer: impl FnOnce(&mut State, &InstanceKey) -> Result<T, PbxErrorKind> + Send,
    ) -> Result<T, PbxError>
    where
        T: Send,
    {
        self.shared.point().await;
        let answer = {
            let mut state = self.shared.lock();
            self.before_reading(&mut state, list).and_then(|()| answer(&mut state, &self.instance))
        };
        if let Err(kind) = &answer {
            self.shared.lock().log(|| format!("{}: cannot {operation}: {kind}", self.instance));
        }
        self.shared.point().await;
        answer.map_err(|kind| error(operation, kind))
    }

    fn before_reading(&self, state: &mut State, list: bool) -> Result<(), PbxErrorKind> {
        let fails = state.faults.read;
        let failed = state.chance(fails);
        let kind = state.below(4);
        let Some(server) = state.servers.get(&self.instance).filter(|server| server.reachable) else {
            return Err(unreachable());
        };
        let rows = server.domains.len();
        if list && server.page_missing {
            return Err(PbxErrorKind::Incomplete { expected: rows, found: rows / 2 });
        }
        if !failed {
            return Ok(());
        }
        Err(match kind {
            0 => unreachable(),
            1 => PbxErrorKind::Server,
            2 => PbxErrorKind::UnexpectedPage { expected: "JSON", found: "the sign-in form".into() },
            _ if list => PbxErrorKind::Incomplete { expected: rows, found: rows.saturating_sub(1) },
            _ => PbxErrorKind::Busy { retry_after: None },
        })
    }

    async fn write(&self, mutation: Mutation) -> Result<(), PbxError> {
        let operation = mutation.to_string();
        self.shared.point().await;
        let fate = {
            let mut state = self.shared.lock();
            self.ask_form(&mut state, &mutation).map_err(|kind| error(&operation, kind))?;
            Fate::drawn(&mut state)
        };
        if fate == Fate::NotSent || !is_permitted() {
            return Err(error(&operation, unreachable()));
        }
        self.shared.lock().log(|| format!("{}: {mutation}: {fate:?}", self.instance));
        self.shared.lock().sent(&self.instance, &mutation);
        self.shared.point().await;
        {
            let mut state = self.shared.lock();
            if let Fate::Late(points) = fate {
                let (instance, mutation) = (self.instance.clone(), mutation.clone());
                state.late.push(Late { instance, mutation, points, old: false });
            }
            if let Some(server) = state.servers.get_mut(&self.instance) {
                match fate {
                    Fate::Done | Fate::AnswerLost => server.carry_out(&mutation),
                    Fate::Half => server.carry_out_half(&mutation),
                    Fate::NotSent | Fate::NotDone | Fate::Ignored | Fate::Late(_) => {}
                }
            }
            state.done(&self.instance, &mutation);
        }
        self.shared.point().await;
        match fate {
            Fate::Done | Fate::Ignored => Ok(()),
            _ => Err(error(&operation, lost())),
        }
    }

    /// A form is read before it is posted.
    fn ask_form(&self, state: &mut State, mutation: &Mutation) -> Result<(), PbxErrorKind> {
        let Some(server) = state.servers.get(&self.instance).filter(|server| server.reachable) else {
            return Err(unreachable());
        };
        match server.refusal(mutation) {
            Some(message) => Err(PbxErrorKind::Refused { message: message.into() }),
            None => Ok(()),
        }
    }
}

fn server<'a>(state: &'a mut State, instance: &InstanceKey) -> Result<&'a mut Server, PbxErrorKind> {
    state.servers.get_mut(instance).ok_or_else(unreachable)
}

#[async_trait]
impl PbxRead for ModelClient {
    async fn version(&self) -> Result<Option<PbxVersion>, PbxError> {
        let state = self.shared.lock();
        Ok(state.servers.get(&self.instance).and_then(|server| PbxVersion::parse(server.version)))
    }

    async fn domains(&self) -> Result<DomainList, PbxError> {
        self.read("read the domains", true, |state, instance| {
            let now = state.now;
            state.checks.lists_read(instance, state.point);
            Ok(server(state, instance)?.show_all(now))
        })
        .await
    }

    async fn domain(&self, id: DomainId) -> Result<Option<PbxDomain>, PbxError> {
        self.read(&format!("read the domain {id}"), false, |state, instance| {
            let now = state.now;
            state.checks.domains_read(instance, id);
            let server = server(state, instance)?;
            if let Some(domain) = server.domains.get_mut(&id) {
                domain.memory.changed_since_read = false;
            }
            Ok(server.show(id, now))
        })
        .await
    }

    async fn domains_named(&self, name: &str) -> Result<Vec<PbxDomain>, PbxError> {
        self.read(&format!("look for the domain {name}"), true, |state, instance| {
            let now = state.now;
            state.checks.names_looked_up(instance, name, state.point);
            Ok(server(state, instance)?.show_named(name, now))
        })
        .await
    }

    async fn settings(&self, id: DomainId) -> Result<Vec<PbxSetting>, PbxError> {
        self.read(&format!("read the settings of the domain {id}"), false, |state, instance| {
            match server(state, instance)?.domains.get(&id) {
                Some(domain) => Ok(domain.rows.values().cloned().collect()),
                None => Err(PbxErrorKind::UnexpectedPage {
                    expected: "the settings of an existing domain",
                    found: "a page that names no domain".into(),
                }),
            }
        })
        .await
    }

    async fn users(&self) -> Result<Vec<PbxUser>, PbxError> {
        Ok(Vec::new())
    }

    async fn check(&self) -> Result<PbxCheck, PbxError> {
        Err(error("check the account", unreachable()))
    }
}

#[async_trait]
impl PbxWrite for ModelClient {
    async fn create_domain(&self, domain: &NewDomain) -> Result<(), PbxError> {
        self.write(Mutation::Create(domain.clone())).await
    }

    async fn update_domain(&self, domain: &NewDomain) -> Result<(), PbxError> {
        self.write(Mutation::Update(domain.clone())).await
    }

    async fn put_setting(&self, domain: DomainId, setting: &PbxSetting) -> Result<(), PbxError> {
        self.write(Mutation::Put(domain, setting.clone())).await
    }

    async fn delete_setting(&self, domain: DomainId, setting: SettingId) -> Result<(), PbxError> {
        self.write(Mutation::Remove(domain, setting)).await
    }

    async fn delete_domain(&self, id: DomainId) -> Result<(), PbxError> {
        self.write(Mutation::Delete(id)).await
    }
}
