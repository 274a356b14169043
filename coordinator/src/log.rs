//! The durable log: `log/00000042.json`, one record a file, written put-if-absent.

use crate::CoordinatorError;
use futures::{StreamExt, TryStreamExt};
use std::hash::{BuildHasher, Hasher, RandomState};
use twinspan_data::{Directory, StoreError};
use twinspan_types::{Fact, LogRecord, Nonce, Term};

/// The log of one run, open for one term.
pub struct Log {
    files: Directory,
    next: u64,
    term: Term,
}

impl Log {
    /// Reads all records and opens the next term.
    pub async fn open(
        files: Directory,
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
    pub fn closed(files: Directory) -> Self {
        Self {
            files,
            next: u64::MAX,
            term: Term::default(),
        }
    }

    /// That no other coordinator has written the next record.
    ///
    /// # Errors
    /// One has, or the store fails.
    pub async fn check_alone(&self) -> Result<(), CoordinatorError> {
        let path = self.next_path();
        match self.files.size(&path).await? {
            Some(_) => Err(CoordinatorError::Superseded {
                path: self.files.url_of(&path),
            }),
            None => Ok(()),
        }
    }

    fn next_path(&self) -> String {
        format!("log/{:08}.json", self.next)
    }

    /// The term that this log writes in.
    pub fn term(&self) -> Term {
        self.term
    }

    /// Appends a fact. The record's nonce makes it like no other: where another record lies in its
    /// place, this coordinator was superseded.
    pub async fn append(&mut self, fact: Fact) -> Result<(), CoordinatorError> {
        let path = self.next_path();
        let nonce = Nonce(RandomState::new().build_hasher().finish());
        let record = LogRecord {
            term: self.term,
            nonce,
            fact,
        };
        let text = format!("{:#}\n", serde_json::json!(record));
        match self.files.create(&path, text.into()).await {
            Err(StoreError::Exists { url }) => Err(CoordinatorError::Superseded { path: url }),
            written => {
                written?;
                self.next += 1;
                Ok(())
            }
        }
    }
}

/// Records that are read at once.
const AT_ONCE: usize = 16;

/// All records, in order: those that a listing shows, and what was written since.
pub async fn replay(files: &Directory) -> Result<Vec<LogRecord>, CoordinatorError> {
    // A store that refuses says so of a file more clearly than of a listing.
    let Some(first) = read(files, 0).await? else {
        return match listed(files).await? {
            0 => Ok(Vec::new()),
            _ => Err(missing(files, 0)),
        };
    };
    let listed = listed(files).await?;
    let reads = (1..listed).map(|number| read(files, number));
    let mut reads = futures::stream::iter(reads).buffered(AT_ONCE);
    let mut records = vec![first];
    while let Some(record) = reads.try_next().await? {
        match record {
            Some(record) => records.push(record),
            None => return Err(missing(files, records.len())),
        }
    }
    drop(reads);
    while let Some(record) = read(files, records.len()).await? {
        records.push(record);
    }
    Ok(records)
}

/// One more than the highest number that a listing shows.
async fn listed(files: &Directory) -> Result<usize, CoordinatorError> {
    let names = files.list("log").await?;
    let numbers = names
        .iter()
        .filter_map(|name| name.strip_suffix(".json")?.parse().ok());
    Ok(numbers.max().map_or(0, |last: usize| last + 1))
}

fn missing(files: &Directory, number: usize) -> CoordinatorError {
    CoordinatorError::Corrupt {
        path: files.url_of(&format!("log/{number:08}.json")),
        what: "the record is missing, and later ones are there".to_owned(),
    }
}

async fn read(files: &Directory, number: usize) -> Result<Option<LogRecord>, CoordinatorError> {
    let path = format!("log/{number:08}.json");
    let bytes = files.read(&path).await?;
    let record = bytes.map(|bytes| serde_json::from_slice(&bytes));
    record
        .transpose()
        .map_err(|error| CoordinatorError::Corrupt {
            path: files.url_of(&path),
            what: error.to_string(),
        })
}
