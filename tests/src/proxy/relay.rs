//! One connection: two directions, each with its faults.

use super::plan::{Connection, Schedule};
use super::{Fault, InForce, Stats};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;

/// How many bytes pass at a time: small enough that a delay holds up a part.
const CHUNK: usize = 16 * 1024;
/// How long a truncated connection waits for its peers to close theirs.
const LINGER: Duration = Duration::from_secs(2);

/// Why a connection ended before both its streams did.
enum Cut {
    Truncated,
    Reset,
}

impl From<io::Error> for Cut {
    /// One side broke off: the other learns it in the same way.
    fn from(_: io::Error) -> Self {
        Self::Reset
    }
}

/// Passes bytes both ways until both streams have ended or a fault ends them.
pub(super) async fn run(
    mut client: TcpStream,
    mut server: TcpStream,
    schedules: Option<Connection>,
    in_force: &watch::Receiver<InForce>,
    stats: &Stats,
) {
    let (up, down) = schedules.map_or((None, None), |both| (Some(both.up), Some(both.down)));
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let ended = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let pump = |from, to, schedule| Pump {
            from,
            to,
            schedule,
            in_force: in_force.clone(),
            stats,
        };
        tokio::try_join!(
            pump(from_client, to_server, up).run(),
            pump(from_server, to_client, down).run()
        )
    };
    match ended {
        Ok(_) => (),
        Err(Cut::Reset) => {
            reset(&client);
            reset(&server);
        }
        Err(Cut::Truncated) => {
            tokio::join!(finish(&mut client), finish(&mut server));
        }
    }
}

/// Makes the coming close of this socket a reset (RST) in place of an end (FIN).
pub(super) fn reset(stream: &TcpStream) {
    // Of a socket that its peer has reset, nothing is left to set.
    let _ = stream.set_zero_linger();
}

/// Ends this side's stream in order. What the peer still sends is read away:
/// a close with unread bytes would be a reset.
async fn finish(stream: &mut TcpStream) {
    let drained = async {
        stream.shutdown().await?;
        tokio::io::copy(stream, &mut tokio::io::sink()).await
    };
    let _ = tokio::time::timeout(LINGER, drained).await;
}

/// One direction of a connection.
struct Pump<'a> {
    from: ReadHalf<'a>,
    to: WriteHalf<'a>,
    /// `None`: no faults.
    schedule: Option<Schedule>,
    in_force: watch::Receiver<InForce>,
    stats: &'a Stats,
}

impl Pump<'_> {
    async fn run(mut self) -> Result<(), Cut> {
        let mut buffer = vec![0; CHUNK];
        let mut next = self.draw();
        loop {
            let count = self.from.read(&mut buffer).await?;
            if count == 0 {
                self.to.shutdown().await?;
                return Ok(());
            }
            let mut chunk = &buffer[..count];
            while let Some((gap, fault)) = &mut next
                && let Ok(gap_here) = usize::try_from(*gap)
                && gap_here < chunk.len()
            {
                self.to.write_all(&chunk[..gap_here]).await?;
                chunk = &chunk[gap_here..];
                self.suffer(*fault).await?;
                // Without this byte a plan with a gap of 0 would never go on.
                next = self.draw().map(|(gap, fault)| (gap.max(1), fault));
            }
            self.to.write_all(chunk).await?;
            if let Some((gap, _)) = &mut next {
                *gap -= chunk.len() as u64;
            }
        }
    }

    fn draw(&mut self) -> Option<(u64, Fault)> {
        self.schedule.as_mut().and_then(Schedule::draw)
    }

    async fn suffer(&mut self, fault: Fault) -> Result<(), Cut> {
        if self.in_force.borrow().is_none() {
            return Ok(());
        }
        self.stats.count(fault);
        match fault {
            Fault::Refuse | Fault::Reset => Err(Cut::Reset),
            Fault::Truncate => Err(Cut::Truncated),
            Fault::Delay(pause) | Fault::Stall(pause) => {
                let healed = self.in_force.wait_for(Option::is_none);
                // Both outcomes mean the same: the chunk goes on its way.
                let _ = tokio::time::timeout(pause, healed).await;
                Ok(())
            }
        }
    }
}
