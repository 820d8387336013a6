//! A record of every request and every answer, before either takes effect.
//!
//! Where there are devices, a request goes on only once one of them has its record, and an answer leaves only once
//! one of them has that. Secrets in a record are keyed hashes, so that a record can be searched for a value that is
//! known, and tells nobody one that is not; `log_raw` turns that off.

mod device;
mod format;
mod writer;

pub(crate) use device::{Device, DeviceEntry};
pub(crate) use format::Record;

use crate::storage::{Read, StorageError};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

const TABLE: &str = "core/audit";
const TABLE_VERSION: u32 = 1;

/// No device took the record.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("no audit device could record the request")]
pub(crate) struct NotRecorded;

type Devices = BTreeMap<String, Arc<Device>>;

/// All devices.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    devices: RwLock<Arc<Devices>>,
}

#[derive(Serialize, Deserialize)]
struct Table {
    version: u32,
    devices: BTreeMap<String, DeviceEntry>,
}

impl Audit {
    /// The devices that are kept, open.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) fn load(store: &dyn Read) -> Result<Self, StorageError> {
        let audit = Self::default();
        let Some(stored) = store.get(TABLE)? else { return Ok(audit) };
        let corrupt = || StorageError::Corrupt { key: TABLE.to_owned() };
        let table: Table = serde_json::from_slice(&stored).map_err(|_| corrupt())?;
        if table.version != TABLE_VERSION {
            return Err(corrupt());
        }
        let opened = table.devices.into_iter().map(|(path, entry)| (path, Arc::new(Device::open(entry))));
        audit.set(opened.collect());
        Ok(audit)
    }

    /// Key and value to keep devices by.
    pub(crate) fn stored(devices: &Devices) -> (String, Vec<u8>) {
        let devices = devices.iter().map(|(path, device)| (path.clone(), device.entry.clone())).collect();
        let table = Table { version: TABLE_VERSION, devices };
        (TABLE.to_owned(), serde_json::to_vec(&table).unwrap_or_default())
    }

    /// The devices as they are now, by path.
    pub(crate) fn devices(&self) -> Arc<Devices> {
        Arc::clone(&self.devices.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Other devices from now on.
    pub(crate) fn set(&self, devices: Devices) {
        *self.devices.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(devices);
    }

    /// Whether nothing is recorded.
    pub(crate) fn is_off(&self) -> bool {
        self.devices.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Records; returns once one device has it.
    ///
    /// # Errors
    /// When none has it.
    pub(crate) async fn record(&self, record: &Record<'_>) -> Result<(), NotRecorded> {
        let devices = self.devices();
        if devices.is_empty() {
            return Ok(());
        }
        let mut recorded = false;
        for (path, device) in devices.iter() {
            match device.write(record.line(device)).await {
                Ok(()) => recorded = true,
                Err(error) => tracing::error!(%error, device = %path, "an audit device failed"),
            }
        }
        if recorded { Ok(()) } else { Err(NotRecorded) }
    }

    /// Opens the files anew: they were moved away.
    pub(crate) async fn reopen(&self) {
        for (path, device) in self.devices().iter() {
            if let Err(error) = device.reopen().await {
                tracing::error!(%error, device = %path, "an audit device could not be opened anew");
            }
        }
    }
}
