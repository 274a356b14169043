//! The durable log: `log/00000042.json`, one record a file, written put-if-absent.

use crate::CoordinatorError;
use crate::run_dir::Files;
use object_store::PutMode;
use std::hash::{BuildHasher, Hasher, RandomState};
use twinspan_types::{Fact, LogRecord, Nonce, Term};

/// The log of one run, open for one term.
pub struct Log {
    files: Files,
    next: u64,
    term: Term,
}

impl Log {
    /// Reads all records and opens the next term.
    pub async fn open(
        files: Files,
        address: &str,
    ) -> Result<(Self, Vec<LogRecord>), CoordinatorError> {
        let records = replay(&files).await?;
        let last = records
            .iter()
            .map(|record| record.term)
            .max()
            .unwrap_or_default();
        let next = records.len() as u64;
        let mut log = Self {
            files,
            next,
            term: last.next(),
        };
        log.append(Fact::TermOpened {
            address: address.to_owned(),
        })
        .await?;
        Ok((log, records))
    }

    /// The log of a run that has ended: nothing more is written.
    pub fn closed(files: Files) -> Self {
        Self {
            files,
            next: u64::MAX,
            term: Term::default(),
        }
    }

    /// The term that this log writes in.
    pub fn term(&self) -> Term {
        self.term
    }

    /// Appends a fact. When the outcome of the write is not known, the record is read back: the
    /// own nonce means that it was written, another's that this coordinator was superseded.
    pub async fn append(&mut self, fact: Fact) -> Result<(), CoordinatorError> {
        let path = format!("log/{:08}.json", self.next);
        let nonce = Nonce(RandomState::new().build_hasher().finish());
        let record = LogRecord {
            term: self.term,
            nonce,
            fact,
        };
        let text = format!("{:#}\n", serde_json::json!(record));
        if let Err(failed) = self.files.put(&path, text.into(), PutMode::Create).await {
            match self.files.get(&path).await? {
                None => return Err(failed),
                Some(bytes) => {
                    let written = serde_json::from_slice::<LogRecord>(&bytes).ok();
                    if written.is_none_or(|written| written.nonce != nonce) {
                        return Err(CoordinatorError::Superseded {
                            path: self.files.name(&path),
                        });
                    }
                }
            }
        }
        self.next += 1;
        Ok(())
    }
}

/// All records, in order.
pub async fn replay(files: &Files) -> Result<Vec<LogRecord>, CoordinatorError> {
    let mut records = Vec::new();
    loop {
        let path = format!("log/{:08}.json", records.len());
        let Some(bytes) = files.get(&path).await? else {
            return Ok(records);
        };
        let record = serde_json::from_slice(&bytes).map_err(|error| CoordinatorError::Corrupt {
            path: files.name(&path),
            what: error.to_string(),
        })?;
        records.push(record);
    }
}
