//! Bringing a generation's ranks together over another engine: they say what they have, rank 0
//! mints a unique id for this generation, and all say whether they have joined. So every rank comes
//! to the same end, and may choose another engine where NCCL cannot be used.

use super::fate::Fate;
use super::handles::PrimaryContext;
use super::thread::{Joining, Orders};
use super::{NcclConfig, NcclEngine, NcclMissing, NcclParts, NcclVersion, UNIQUE_ID, UniqueId};
use crate::{Collective, CollectiveError};
use std::sync::Arc;
use twinspan_types::Rank;

/// Why there is no engine, one variant for each reaction.
#[derive(Debug, thiserror::Error)]
pub enum NcclConnectError {
    /// The engine that brings the ranks together broke: leave the generation.
    #[error(transparent)]
    Collective(#[from] CollectiveError),
    /// NCCL cannot be used by this world, and every rank has been told so: all may go on with the
    /// other engine, or all stop.
    #[error(transparent)]
    Unusable(#[from] NcclUnusable),
}

/// Why NCCL cannot be used by a world; the same on every rank.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NcclUnusable {
    /// Some ranks lack something.
    #[error("NCCL is missing: {}", list(.0, ": "))]
    Missing(Vec<(Rank, String)>),
    /// The ranks have different versions, which do not understand each other.
    #[error("NCCL is not the same on all ranks: {}; install one version", list(.0, " has "))]
    MixedVersions(Vec<(Rank, NcclVersion)>),
    /// Some ranks could not join the communicator.
    #[error("NCCL could not be started: {}; NCCL_DEBUG=INFO says more", list(.0, ": "))]
    NotJoined(Vec<(Rank, String)>),
}

fn list<T: std::fmt::Display>(ranks: &[(Rank, T)], verb: &str) -> String {
    let each = ranks
        .iter()
        .map(|(rank, what)| format!("rank {rank}{verb}{what}"));
    each.collect::<Vec<String>>().join(", ")
}

impl NcclEngine {
    /// Joins the generation's communicator with NCCL and driver as they are installed. All ranks
    /// call it, as they call a collective; `bootstrap` brings them together, and serves on
    /// afterwards. The engine counts its collectives with `bootstrap`'s and has its abort handle:
    /// an error of either ends both. `bootstrap`'s own timeout must be longer than
    /// `config.connect_timeout`.
    ///
    /// # Errors
    /// [`NcclConnectError::Unusable`] on every rank alike, after which `bootstrap` is as good as
    /// before; [`NcclConnectError::Collective`] when `bootstrap` breaks or is aborted.
    pub fn connect(
        bootstrap: &mut dyn Collective,
        config: NcclConfig,
    ) -> Result<Self, NcclConnectError> {
        Self::connect_with(bootstrap, config, NcclParts::open())
    }

    /// As [`NcclEngine::connect`], with these libraries.
    ///
    /// # Errors
    /// As [`NcclEngine::connect`].
    pub fn connect_with(
        bootstrap: &mut dyn Collective,
        config: NcclConfig,
        parts: Result<NcclParts, NcclMissing>,
    ) -> Result<Self, NcclConnectError> {
        let able = parts.and_then(|parts| Able::new(parts, config.device));
        let version = able.as_ref().map(|able| encode(able.version));
        let versions = agree(bootstrap, version.map_err(NcclMissing::to_string))?
            .map_err(NcclUnusable::Missing)?;
        let versions: Vec<(Rank, NcclVersion)> = ranks()
            .zip(versions.iter().map(|bytes| decode(bytes)))
            .collect();
        if versions
            .iter()
            .any(|(_, version)| *version != versions[0].1)
        {
            return Err(NcclUnusable::MixedVersions(versions).into());
        }
        let able = match able {
            Ok(able) => able,
            Err(missing) => {
                let missing = vec![(bootstrap.rank(), missing.to_string())];
                return Err(NcclUnusable::Missing(missing).into());
            }
        };
        let id = mint(bootstrap, &able.parts)?;
        let (rank, abort, line) = (bootstrap.rank(), bootstrap.abort_handle(), bootstrap.line());
        let orders = Orders {
            parts: able.parts,
            config,
            rank,
            world: bootstrap.world_size(),
            id,
            fate: Arc::new(Fate::new(rank, abort.clone(), line.clone())),
            abort,
            line,
        };
        let joined = Self::join(orders, able.context);
        let said = joined.as_ref().map(|_| Vec::new());
        let said = agree(bootstrap, said.map_err(Joining::to_string));
        match (joined, said) {
            (Ok(engine), Ok(Ok(_))) => Ok(engine.agreed()),
            (joined, said) => {
                if let Ok(engine) = joined {
                    engine.discard();
                }
                Err(match said? {
                    Err(faults) => NcclUnusable::NotJoined(faults).into(),
                    Ok(_) => CollectiveError::Protocol {
                        detail: format!("rank {rank} has not joined and says that it has"),
                    }
                    .into(),
                })
            }
        }
    }
}

/// What a rank that can use NCCL has.
struct Able {
    parts: NcclParts,
    context: PrimaryContext,
    version: NcclVersion,
}

impl Able {
    fn new(parts: NcclParts, device: u32) -> Result<Self, NcclMissing> {
        let version = parts
            .nccl
            .version()
            .map_err(|code| NcclMissing::WrongLibrary {
                file: "NCCL".to_owned(),
                detail: parts.nccl.describe(code),
            })?;
        let context = PrimaryContext::retain(parts.cuda.clone(), device);
        let context = context.map_err(|fault| NcclMissing::Device {
            ordinal: device,
            detail: fault.to_string(),
        })?;
        Ok(Self {
            parts,
            context,
            version,
        })
    }
}

/// Rank 0's fresh unique id, on every rank.
fn mint(bootstrap: &mut dyn Collective, parts: &NcclParts) -> Result<UniqueId, NcclConnectError> {
    let own = match bootstrap.rank() {
        Rank(0) => parts
            .nccl
            .unique_id()
            .map(|id| id.0.to_vec())
            .map_err(|code| parts.nccl.describe(code)),
        _ => Ok(Vec::new()),
    };
    let said = agree(bootstrap, own)?.map_err(NcclUnusable::NotJoined)?;
    let id = said[0].first_chunk::<UNIQUE_ID>().ok_or_else(|| {
        let detail = "rank 0 gave no unique id of NCCL's".to_owned();
        CollectiveError::Protocol { detail }
    })?;
    Ok(UniqueId(*id))
}

/// What all ranks give, or the faults of those that have nothing to give; the same on every rank.
type Agreed = Result<Vec<Vec<u8>>, Vec<(Rank, String)>>;

/// Exchanges what every rank has: the byte 1 and its bytes, or the byte 0 and why there are none.
fn agree(
    bootstrap: &mut dyn Collective,
    own: Result<Vec<u8>, String>,
) -> Result<Agreed, CollectiveError> {
    let own = match own {
        Ok(bytes) => [vec![1], bytes].concat(),
        Err(fault) => [vec![0], fault.into_bytes()].concat(),
    };
    let all = bootstrap.all_gather_bytes(&own)?;
    let faults: Vec<(Rank, String)> = ranks()
        .zip(&all)
        .filter(|(_, said)| said.first() != Some(&1))
        .map(|(rank, said)| {
            let fault = said.get(1..).unwrap_or_default();
            (rank, String::from_utf8_lossy(fault).into_owned())
        })
        .collect();
    if !faults.is_empty() {
        return Ok(Err(faults));
    }
    Ok(Ok(all.into_iter().map(|said| said[1..].to_vec()).collect()))
}

fn ranks() -> impl Iterator<Item = Rank> {
    (0..).map(Rank)
}

/// Major, minor and patch, little-endian.
fn encode(version: NcclVersion) -> Vec<u8> {
    let numbers = [version.major, version.minor, version.patch];
    numbers.into_iter().flat_map(u32::to_le_bytes).collect()
}

/// The inverse of [`encode`]; what is no version differs from every one.
fn decode(bytes: &[u8]) -> NcclVersion {
    let mut numbers = bytes
        .as_chunks()
        .0
        .iter()
        .map(|word| u32::from_le_bytes(*word));
    let mut number = || numbers.next().unwrap_or(u32::MAX);
    NcclVersion {
        major: number(),
        minor: number(),
        patch: number(),
    }
}
