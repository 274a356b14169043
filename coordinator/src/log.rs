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
    /// Opens the next term after these records, which are all.
    ///
    /// # Errors
    /// They are not all: another coordinator was faster. Or the store fails.
    pub async fn open(
        files: Directory,
        records: &[LogRecord],
        address: &str,
    ) -> Result<Self, CoordinatorError> {
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
        Ok(log)
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
        let path = path_of(self.next);
        match self.files.size(&path).await? {
            Some(_) => Err(CoordinatorError::Superseded {
                path: self.files.url_of(&path),
            }),
            None => Ok(()),
        }
    }

    /// The term that this log writes in.
    pub fn term(&self) -> Term {
        self.term
    }

    /// Appends a fact. The record's nonce makes it like no other: where another record lies in its
    /// place, this coordinator was superseded.
    pub async fn append(&mut self, fact: Fact) -> Result<(), CoordinatorError> {
        let path = path_of(self.next);
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
    // A store that refuses says so of a file more clearly than of a listing, and a bucket that is not
    // there has no listing: whoever writes to it will say so.
    let is_begun = files.size(&path_of(0)).await?.is_some();
    let listed = match listed(files).await {
        Err(_) if !is_begun => 0,
        listed => listed?,
    };
    let reads = (0..listed).map(|number| read(files, number));
    let mut reads = futures::stream::iter(reads).buffered(AT_ONCE);
    let mut records = Vec::with_capacity(listed);
    while let Some(record) = reads.try_next().await? {
        match record {
            Some(record) => records.push(record),
            None => return Err(missing(files, records.len())),
        }
    }
    drop(reads);
    read_on(files, &mut records).await?;
    Ok(records)
}

/// Reads what was written after these records.
pub async fn read_on(
    files: &Directory,
    records: &mut Vec<LogRecord>,
) -> Result<(), CoordinatorError> {
    while let Some(record) = read(files, records.len()).await? {
        records.push(record);
    }
    Ok(())
}

/// One more than the highest number that a listing shows.
async fn listed(files: &Directory) -> Result<usize, CoordinatorError> {
    let names = files.list("log").await?;
    let numbers = names
        .iter()
        .filter_map(|name| name.strip_suffix(".json")?.parse().ok());
    Ok(numbers.max().map_or(0, |last: usize| last + 1))
}

fn path_of(number: u64) -> String {
    format!("log/{number:08}.json")
}

fn missing(files: &Directory, number: usize) -> CoordinatorError {
    CoordinatorError::Corrupt {
        path: files.url_of(&path_of(number as u64)),
        what: "the record is missing, and later ones are there".to_owned(),
    }
}

async fn read(files: &Directory, number: usize) -> Result<Option<LogRecord>, CoordinatorError> {
    let path = path_of(number as u64);
    let bytes = files.read(&path).await?;
    let record = bytes.map(|bytes| serde_json::from_slice(&bytes));
    record
        .transpose()
        .map_err(|error| CoordinatorError::Corrupt {
            path: files.url_of(&path),
            what: error.to_string(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinspan_data::Stores;

    fn run(folder: &tempfile::TempDir) -> Directory {
        let url = format!("file://{}/run", folder.path().display());
        Directory::open(&Stores::default(), &url).expect("opens")
    }

    async fn start(
        folder: &tempfile::TempDir,
        address: &str,
    ) -> Result<(Log, Vec<LogRecord>), CoordinatorError> {
        let records = replay(&run(folder)).await?;
        let log = Log::open(run(folder), &records, address).await?;
        Ok((log, records))
    }

    #[tokio::test]
    async fn of_two_starters_one_opens_the_term_and_the_other_hears_of_it() {
        let folder = tempfile::tempdir().expect("a folder");
        for term in 1..20 {
            let starts = ["a:1", "b:1"].map(|address| start(&folder, address));
            let opened = futures::future::join_all(starts).await;
            let superseded =
                |opened: &Result<_, _>| matches!(opened, Err(CoordinatorError::Superseded { .. }));
            let lost = opened.iter().filter(|opened| superseded(opened)).count();
            let won: Vec<&(Log, Vec<LogRecord>)> = opened.iter().flatten().collect();
            // Where one had opened its term before the other looked, both have one: the later rules.
            assert_eq!(won.len() + lost, 2, "an error of another kind");
            let mut terms: Vec<u64> = won.iter().map(|(log, _)| log.term().0).collect();
            terms.sort_unstable();
            terms.dedup();
            assert_eq!(
                terms.len(),
                won.len(),
                "one term with two owners, round {term}"
            );
        }
    }

    #[tokio::test]
    async fn who_was_superseded_appends_nothing_more() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut frozen, _) = start(&folder, "a:1").await.expect("opens");
        frozen.check_alone().await.expect("nobody else is there");
        let (mut taker, records) = start(&folder, "b:1").await.expect("takes over");
        assert_eq!((records.len(), taker.term()), (1, Term(2)));
        // The frozen one wakes.
        let ended = Fact::RunEnded {
            step: twinspan_types::Step(7),
        };
        for refused in [
            frozen.check_alone().await,
            frozen.append(ended.clone()).await,
        ] {
            assert!(matches!(refused, Err(CoordinatorError::Superseded { .. })));
        }
        taker.append(ended).await.expect("it is the owner");
        assert_eq!(replay(&run(&folder)).await.expect("reads").len(), 3);
    }
}
