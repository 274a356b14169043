//! Samples of a webdataset shard: the members of a tar archive, grouped by key.

mod header;
#[cfg(test)]
mod tests;

use crate::shard::Source;
use crate::store::StoreError;
use bytes::Bytes;
use header::{BLOCK, Kind};
use std::ops::Range;

/// The largest member that is read; a header that claims more is taken for corrupt.
pub const LARGEST_MEMBER: u64 = 256 << 20;
/// The largest extended header.
const LARGEST_EXTENSION: u64 = 1 << 20;

/// Why an archive's next sample cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The archive ends within a sample.
    #[error("the archive ends at byte {end}, within sample {sample}")]
    Truncated {
        /// Samples before it.
        sample: u64,
        /// Bytes of the archive.
        end: u64,
    },
    /// The archive's structure is damaged, and what comes after cannot be found.
    #[error("the archive is corrupt at byte {at}, in sample {sample}: {what}")]
    Corrupt {
        /// Samples before it.
        sample: u64,
        /// Where.
        at: u64,
        /// What is wrong.
        what: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The members of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The members' common name up to the first dot of the base name, folders included.
    pub key: String,
    /// Samples before it in the archive.
    pub index: u64,
    /// Extension in lower case, and body, of the members that were wanted.
    pub members: Vec<(String, Bytes)>,
}

/// Reads an archive's samples in order.
#[derive(Debug)]
pub struct SampleReader<S> {
    source: S,
    /// Where the next header lies.
    position: u64,
    /// Samples that were given.
    given: u64,
    /// The first member of the next sample, or why there is none: found when looking for more
    /// members of the sample before.
    ahead: Option<Result<Member, TarError>>,
    end: Option<End>,
}

/// How an archive ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With the block of zeros that ends an archive.
    Marked,
    /// Between two members, without that block: it may have been longer once.
    Unmarked,
}

#[derive(Debug)]
struct Member {
    key: String,
    extension: String,
    body: Range<u64>,
}

impl Sample {
    /// The first of these extensions that the sample has.
    #[must_use]
    pub fn member(&self, extensions: &[&str]) -> Option<&Bytes> {
        let find = |wanted: &&str| {
            self.members
                .iter()
                .find(|(extension, _)| extension == wanted)
        };
        extensions.iter().find_map(find).map(|(_, body)| body)
    }
}

impl<S: Source> SampleReader<S> {
    /// Reads from the archive's first sample.
    #[must_use]
    pub fn new(source: S) -> Self {
        Self {
            source,
            position: 0,
            given: 0,
            ahead: None,
            end: None,
        }
    }

    /// Samples before the one that comes next.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.given
    }

    /// Bytes of the archive before the header that is read next.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// How the archive ends, once no sample is left.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// The next sample with the bodies of those members whose extension is `wanted`, or nothing at
    /// the archive's end. Bodies that are not wanted are passed over unread.
    ///
    /// # Errors
    /// When the archive ends within the sample, is corrupt, or the store fails; the reader is of
    /// no use after that.
    pub async fn next(
        &mut self,
        wanted: impl Fn(&str) -> bool + Send,
    ) -> Result<Option<Sample>, TarError> {
        let mut sample: Option<Sample> = None;
        loop {
            let found = match self.ahead.take() {
                Some(found) => found.map(Some),
                None => self.member().await,
            };
            let member = match (found, &sample) {
                (Ok(Some(member)), None) => {
                    sample = Some(Sample {
                        key: member.key.clone(),
                        index: self.given,
                        members: vec![],
                    });
                    member
                }
                (Ok(Some(member)), Some(sample)) if sample.key == member.key => member,
                (Ok(Some(other)), Some(_)) => {
                    self.ahead = Some(Ok(other));
                    break;
                }
                (Ok(None), _) => break,
                (Err(error), None) => return Err(error),
                (Err(error), Some(_)) => {
                    self.ahead = Some(Err(self.of_next_sample(error)));
                    break;
                }
            };
            if member.body.end > self.source.size() {
                return Err(TarError::Truncated {
                    sample: self.given,
                    end: self.source.size(),
                });
            }
            if let Some(sample) = &mut sample
                && wanted(&member.extension)
                && sample.member(&[&member.extension]).is_none()
            {
                if member.body.end - member.body.start > LARGEST_MEMBER {
                    let what = format!("a member is larger than {LARGEST_MEMBER} bytes");
                    return Err(self.corrupt(member.body.start, &what));
                }
                let body = self.source.read(member.body).await?;
                sample.members.push((member.extension, body));
            }
        }
        self.given += u64::from(sample.is_some());
        Ok(sample)
    }

    /// Finds the next member that belongs to a sample.
    async fn member(&mut self) -> Result<Option<Member>, TarError> {
        let (mut long_name, mut long_size) = (None, None);
        while self.end.is_none() {
            let at = self.position;
            let Some(block) = self.block(at).await? else {
                break;
            };
            let Some(header) = header::header(&block).map_err(|what| self.corrupt(at, what))?
            else {
                self.end = Some(End::Marked);
                break;
            };
            let size = match header.kind {
                Kind::File | Kind::Other => long_size.take().unwrap_or(header.size),
                Kind::LongName | Kind::Extended => header.size,
            };
            let body = self.body(at, size)?;
            match header.kind {
                Kind::LongName => {
                    let name = self.extension(body).await?;
                    long_name = Some(header::until_zero(&name).to_vec());
                }
                Kind::Extended => {
                    let records = self.extension(body).await?;
                    let found = header::extension(&records);
                    let found = found.map_err(|what| self.corrupt(at, what))?;
                    long_name = found.name.or(long_name);
                    long_size = found.size;
                }
                Kind::File => {
                    let name = long_name.take().unwrap_or(header.name);
                    if let Some((key, extension)) = split(&String::from_utf8_lossy(&name)) {
                        return Ok(Some(Member {
                            key,
                            extension,
                            body,
                        }));
                    }
                }
                Kind::Other => long_name = None,
            }
        }
        Ok(None)
    }

    /// The header at a place; nothing where the archive ends between two members.
    async fn block(&mut self, at: u64) -> Result<Option<Bytes>, TarError> {
        let size = self.source.size();
        if at >= size {
            self.end = Some(End::Unmarked);
            return Ok(None);
        }
        if size - at < BLOCK {
            return Err(TarError::Truncated {
                sample: self.given,
                end: size,
            });
        }
        Ok(Some(self.source.read(at..at + BLOCK).await?))
    }

    /// Where the body after the header at a place lies; moves on to the header after it.
    fn body(&mut self, at: u64, size: u64) -> Result<Range<u64>, TarError> {
        let start = at + BLOCK;
        let end = start.checked_add(size);
        let next = size
            .checked_next_multiple_of(BLOCK)
            .and_then(|size| start.checked_add(size));
        let (Some(end), Some(next)) = (end, next) else {
            return Err(self.corrupt(at, "its size is beyond all archives"));
        };
        self.position = next;
        Ok(start..end)
    }

    async fn extension(&mut self, body: Range<u64>) -> Result<Bytes, TarError> {
        if body.end - body.start > LARGEST_EXTENSION {
            return Err(self.corrupt(body.start, "an extended header is larger than 1 MiB"));
        }
        if body.end > self.source.size() {
            return Err(TarError::Truncated {
                sample: self.given,
                end: self.source.size(),
            });
        }
        Ok(self.source.read(body).await?)
    }

    fn corrupt(&self, at: u64, what: &str) -> TarError {
        TarError::Corrupt {
            sample: self.given,
            at,
            what: what.to_owned(),
        }
    }

    /// An error that was met behind the sample that is about to be given.
    fn of_next_sample(&self, error: TarError) -> TarError {
        match error {
            TarError::Truncated { sample, end } => TarError::Truncated {
                sample: sample + 1,
                end,
            },
            TarError::Corrupt { sample, at, what } => TarError::Corrupt {
                sample: sample + 1,
                at,
                what,
            },
            store => store,
        }
    }
}

/// Key and extension of a member as webdataset splits them; nothing for names that it passes over:
/// `__x__`, below `__x__/`, without a dot, or with nothing before the base name's first dot.
pub(crate) fn split(name: &str) -> Option<(String, String)> {
    let first = name.split('/').next().unwrap_or_default();
    if first.len() >= 4 && first.starts_with("__") && first.ends_with("__") {
        return None;
    }
    let base = name.rfind('/').map_or(0, |slash| slash + 1);
    let dot = base + name[base..].find('.').filter(|dot| *dot > 0)?;
    Some((name[..dot].to_owned(), name[dot + 1..].to_lowercase()))
}
