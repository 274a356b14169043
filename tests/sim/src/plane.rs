//! The data plane of the simulated workers: a star around rank 0, over the simulated network.

use crate::net::connect;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};
use turmoil::net::{TcpListener, TcpStream};
use twinspan_types::{Rank, World};

/// The port of workers.
pub const WORKER_PORT: u16 = 9000;
/// Longest wait for the others to connect.
const CONNECT: Duration = Duration::from_secs(2);
/// Longest wait for the others in a collective.
const COLLECTIVE: Duration = Duration::from_secs(4);
/// In the place of a length: the rank that follows is lost.
const FAREWELL: u32 = u32::MAX;

/// Why a collective failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaneError {
    /// For want of this rank.
    Lost(Rank),
    /// Nothing came, and nobody can be blamed for it from here.
    Silence,
}

/// One rank's links in a generation.
pub enum Plane {
    /// Rank 0, with the links of the others in their order.
    Hub(Vec<TcpStream>),
    /// Another rank, with its link to rank 0.
    Leaf(TcpStream),
}

impl Plane {
    /// Links the ranks of a world.
    ///
    /// # Errors
    /// A rank was not reached in time.
    pub async fn connect(
        listener: &TcpListener,
        world: &World,
        rank: Rank,
    ) -> Result<Self, PlaneError> {
        let deadline = Instant::now() + CONNECT;
        match rank {
            Rank(0) => {
                let mut links = BTreeMap::new();
                while links.len() + 1 < world.size().index() {
                    let left = deadline.saturating_duration_since(Instant::now());
                    let missing = || {
                        world
                            .size()
                            .ranks()
                            .skip(1)
                            .find(|rank| !links.contains_key(rank))
                    };
                    let Ok(accepted) = timeout(left, accept(listener, world)).await else {
                        return Err(PlaneError::Lost(missing().unwrap_or_default()));
                    };
                    if let Some((rank, link)) = accepted {
                        links.insert(rank, link);
                    }
                }
                Ok(Self::Hub(links.into_values().collect()))
            }
            rank => {
                let address = &world.members[0].address;
                let host = address.split(':').next().unwrap_or_default();
                while Instant::now() < deadline {
                    match call(host, world, rank).await {
                        Ok(link) => return Ok(Self::Leaf(link)),
                        Err(_) => sleep(Duration::from_millis(50)).await,
                    }
                }
                Err(PlaneError::Lost(Rank(0)))
            }
        }
    }

    /// What every rank has given, by rank.
    ///
    /// # Errors
    /// A rank is lost, or nothing came in time.
    pub async fn all_gather(&mut self, own: Vec<u8>) -> Result<Vec<Vec<u8>>, PlaneError> {
        match timeout(COLLECTIVE, self.gather(own)).await {
            Ok(gathered) => gathered,
            Err(_) => Err(PlaneError::Silence),
        }
    }

    async fn gather(&mut self, own: Vec<u8>) -> Result<Vec<Vec<u8>>, PlaneError> {
        match self {
            Self::Hub(links) => {
                let mut all = vec![own];
                for place in 0..links.len() {
                    match receive(&mut links[place]).await {
                        Ok(Frame::Bytes(bytes)) => all.push(bytes),
                        Ok(Frame::Farewell(rank)) => return Err(say_lost(links, rank).await),
                        Err(_) => {
                            let rank = Rank(u32::try_from(place + 1).unwrap_or(u32::MAX));
                            return Err(say_lost(links, rank).await);
                        }
                    }
                }
                let together = serde_json::to_vec(&all).unwrap_or_default();
                let mut lost = None;
                for (rank, link) in (1..).map(Rank).zip(links.iter_mut()) {
                    if send(link, &together).await.is_err() {
                        lost.get_or_insert(rank);
                    }
                }
                match lost {
                    None => Ok(all),
                    Some(rank) => Err(say_lost(links, rank).await),
                }
            }
            Self::Leaf(link) => {
                let lost = |_| PlaneError::Lost(Rank(0));
                send(link, &own).await.map_err(lost)?;
                match receive(link).await.map_err(lost)? {
                    Frame::Farewell(rank) => Err(PlaneError::Lost(rank)),
                    Frame::Bytes(bytes) => {
                        serde_json::from_slice(&bytes).map_err(|_| PlaneError::Silence)
                    }
                }
            }
        }
    }
}

enum Frame {
    Bytes(Vec<u8>),
    Farewell(Rank),
}

/// Tells the others whom the hub has lost.
async fn say_lost(links: &mut [TcpStream], rank: Rank) -> PlaneError {
    for link in links {
        let mut farewell = FAREWELL.to_le_bytes().to_vec();
        farewell.extend(rank.0.to_le_bytes());
        let _ = link.write_all(&farewell).await;
    }
    PlaneError::Lost(rank)
}

async fn send(link: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).unwrap_or(FAREWELL - 1);
    link.write_all(&length.to_le_bytes()).await?;
    link.write_all(bytes).await
}

async fn receive(link: &mut TcpStream) -> io::Result<Frame> {
    let length = link.read_u32_le().await?;
    if length == FAREWELL {
        return Ok(Frame::Farewell(Rank(link.read_u32_le().await?)));
    }
    let mut bytes = vec![0; length as usize];
    link.read_exact(&mut bytes).await?;
    Ok(Frame::Bytes(bytes))
}

/// A rank of this generation calls rank 0 and waits for its word.
async fn call(host: &str, world: &World, rank: Rank) -> io::Result<TcpStream> {
    let mut link = connect(host, WORKER_PORT).await?;
    link.write_u64_le(world.token.0).await?;
    link.write_u32_le(rank.0).await?;
    let heard = timeout(Duration::from_millis(500), link.read_u8()).await;
    heard.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Ok(link)
}

/// Takes a call of a rank of this generation; none of another one's.
async fn accept(listener: &TcpListener, world: &World) -> Option<(Rank, TcpStream)> {
    let (mut link, _) = listener.accept().await.ok()?;
    let shake = async {
        let token = link.read_u64_le().await?;
        let rank = link.read_u32_le().await?;
        if token == world.token.0 {
            link.write_u8(1).await?;
        }
        io::Result::Ok((token, rank))
    };
    let shaken = timeout(Duration::from_millis(500), shake).await;
    let (token, rank) = shaken.ok()?.ok()?;
    (token == world.token.0).then_some((Rank(rank), link))
}
