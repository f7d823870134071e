//! The guard: a contract that installed clients could not survive is not served by accident.

use super::{Nizhal, StartError, print::print_line};
use crate::{
    contract::Contract,
    http::{Version, VersionGate},
    settings::{Mode, Settings},
    store::{Store, StoreError},
};
use serde_json::Value;
use std::{fs, io, path::Path};

/// The action on the contract's file.
#[derive(Clone, Copy, Debug)]
pub(super) enum FileVerb {
    Check,
    Write,
}

/// Refuses a contract that breaks clients of the kept one, unless they are told to update or it is allowed; in development it
/// says so and goes on.
pub(super) async fn guard(
    store: &Store,
    contract: &Contract,
    gate: &VersionGate,
    settings: &Settings,
) -> Result<(), StartError> {
    let Some(recorded) = store.kept_contract().await.map_err(StartError::Provision)? else { return Ok(()) };
    match refusal(contract, gate, &recorded)? {
        Some(refused) if settings.mode == Mode::Production && !settings.allow_breaking => Err(refused),
        Some(refused) => {
            tracing::warn!("{refused}");
            Ok(())
        }
        None => Ok(()),
    }
}

/// The error where clients of the kept contract could not go on; `None` when they can, or are told to update.
fn refusal(contract: &Contract, gate: &VersionGate, recorded: &str) -> Result<Option<StartError>, StartError> {
    let unreadable =
        |cause: serde_json::Error| StartError::Provision(StoreError::Schema(format!("the kept contract: {cause}")));
    let breaks = contract.breaks(recorded).map_err(unreadable)?;
    let recorded: Value = serde_json::from_str(recorded).map_err(unreadable)?;
    let version = recorded["info"]["version"].as_str().unwrap_or_default().to_owned();
    let is_gated = match (&gate.min_client, version.parse::<Version>()) {
        (Some(least), Ok(version)) => *least > version,
        _ => false,
    };
    Ok((!breaks.is_empty() && !is_gated).then_some(StartError::BreakingContract { version, breaks }))
}

impl Nizhal {
    /// Prints the contract, or compares it with the committed file, or writes that file.
    pub(super) fn contract(mut self, verb: Option<(FileVerb, &Path)>) -> Result<(), StartError> {
        let gate = self.gate()?;
        let schema = self.schema()?;
        let contract = Contract::new(&self.name, &self.contract_version, &schema);
        let bytes = contract.bytes();
        let now = String::from_utf8_lossy(&bytes);
        let Some((verb, path)) = verb else {
            print_line(now.trim_end());
            return Ok(());
        };
        let file = path.display().to_string();
        let failed = |cause: io::Error| StartError::ContractFile { file: file.clone(), cause };
        match verb {
            FileVerb::Write => {
                fs::write(path, now.as_bytes()).map_err(failed)?;
                print_line(&format!("{file} holds the contract now: commit it"));
            }
            FileVerb::Check => {
                let recorded = fs::read_to_string(path).map_err(failed)?;
                serde_json::from_str::<Value>(&recorded).map_err(|cause| failed(cause.into()))?;
                if let Some(refused) = refusal(&contract, &gate, &recorded)? {
                    return Err(refused);
                }
                print_line(&if recorded == now {
                    format!("{file} is the app's contract")
                } else {
                    format!("clients of {file} can work with the app's contract: record it with `contract --write`")
                });
            }
        }
        Ok(())
    }
}
