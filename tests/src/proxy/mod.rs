//! A network that fails on plan: a TCP proxy in front of a local server; and an
//! HTTP proxy that shows a test each request on its way.
//!
//! Each proxy serves blocking and asynchronous tests alike, and ends with all
//! its connections on drop.

mod gate;
mod plan;
mod relay;
mod stats;

pub use gate::{Gate, Moment, Passing, Way};
pub use plan::{Fault, Plan};
pub use stats::Counts;

use crate::background::Background;
use stats::Stats;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long the proxy tries to reach the server for one connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// The plan in force; `None` is a network without faults.
type InForce = Option<Arc<Plan>>;

/// A TCP proxy that does to each connection what its [`Plan`] says.
#[derive(Debug)]
pub struct FaultyProxy {
    background: Background,
    plan: watch::Sender<InForce>,
    stats: Arc<Stats>,
}

impl FaultyProxy {
    /// Listens at a free port of 127.0.0.1 and passes connections on to `server`.
    ///
    /// # Errors
    /// What the system says when it gives no port or thread.
    pub fn start(server: SocketAddr, plan: Plan) -> io::Result<Self> {
        let (plan, in_force) = watch::channel(Some(Arc::new(plan)));
        let stats = Arc::<Stats>::default();
        let shared = Arc::clone(&stats);
        let background = Background::listen("faulty-proxy", move |listener| {
            accept(listener, server, in_force, shared)
        })?;
        Ok(Self {
            background,
            plan,
            stats,
        })
    }

    /// Where the proxy listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.background.address()
    }

    /// The proxy's URL, for a client of an HTTP server behind it.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    /// What has happened so far. A fault is counted before a peer can see it.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.stats.counts()
    }

    /// No more faults, on old and new connections; what stalls goes on at once.
    pub fn heal(&self) {
        self.plan.send_replace(None);
    }

    /// Puts another plan in force: connections made from now on follow it,
    /// older ones keep their own (and have faults again after [`Self::heal`]).
    pub fn inflict(&self, plan: Plan) {
        self.plan.send_replace(Some(Arc::new(plan)));
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    in_force: watch::Receiver<InForce>,
    stats: Arc<Stats>,
) {
    // Dropped with this future, and every connection with it.
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((client, _)) = accepted else {
            continue;
        };
        let number = stats.connection();
        let plan = in_force.borrow().clone();
        connections.spawn(connect(
            client,
            server,
            number,
            plan,
            in_force.clone(),
            Arc::clone(&stats),
        ));
    }
}

async fn connect(
    client: TcpStream,
    server: SocketAddr,
    number: u64,
    plan: InForce,
    in_force: watch::Receiver<InForce>,
    stats: Arc<Stats>,
) {
    let schedules = plan.map(|plan| plan.connection(number));
    if schedules.as_ref().is_some_and(|both| both.refused) {
        stats.count(Fault::Refuse);
        return relay::reset(&client);
    }
    let reached = tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(server)).await;
    let Ok(Ok(upstream)) = reached else {
        stats.unreachable();
        return relay::reset(&client);
    };
    relay::run(client, upstream, schedules, &in_force, &stats).await;
}
