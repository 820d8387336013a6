//! What readers see: the tree as of one commit.

use super::io_error;
use crate::storage::StorageError;
use redb::{Database, ReadOnlyTable, ReadableDatabase as _, TableDefinition, TableError};

/// All entries: path to value.
pub(super) const ENTRIES: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("entries");
/// The byte after `/`: where a folder's entries end.
const AFTER_SLASH: char = '0';

/// The entries as of one commit; no table before the first.
pub(super) struct View(Option<ReadOnlyTable<&'static str, &'static [u8]>>);

impl View {
    pub(super) fn of(database: &Database) -> Result<Self, StorageError> {
        let failed = |source| StorageError::Disk { operation: "begin to read", source };
        let transaction =
            database.begin_read().map_err(|error| failed(std::io::Error::other(error.to_string())))?;
        match transaction.open_table(ENTRIES) {
            Ok(table) => Ok(Self(Some(table))),
            Err(TableError::TableDoesNotExist(_)) => Ok(Self(None)),
            Err(TableError::Storage(error)) => Err(failed(io_error(error))),
            Err(error) => Err(failed(std::io::Error::other(error.to_string()))),
        }
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let Some(table) = &self.0 else { return Ok(None) };
        let value = table.get(key).map_err(|error| unread(io_error(error)))?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    /// The children under a prefix. A folder costs one seek, however much is in it.
    pub(super) fn list(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        let Some(table) = &self.0 else { return Ok(Vec::new()) };
        let mut children = Vec::new();
        let mut from = prefix.to_owned();
        'seek: loop {
            for entry in table.range(from.as_str()..).map_err(|error| unread(io_error(error)))? {
                let (key, _) = entry.map_err(|error| unread(io_error(error)))?;
                let Some(rest) = key.value().strip_prefix(prefix) else { break 'seek };
                match rest.find('/') {
                    None if rest.is_empty() => {}
                    None => children.push(rest.to_owned()),
                    Some(slash) => {
                        children.push(rest[..=slash].to_owned());
                        from = format!("{prefix}{}{AFTER_SLASH}", &rest[..slash]);
                        continue 'seek;
                    }
                }
            }
            break;
        }
        Ok(children)
    }
}

fn unread(source: std::io::Error) -> StorageError {
    StorageError::Disk { operation: "read an entry", source }
}
