//! The task that owns the core: it feeds events in, answers requests, and gives what is to be
//! written to the scribe.

use crate::screen::{Screen, Show};
use crate::scribe::{Scribe, WAITING};
use crate::telling::Telling;
use crate::{CoordinatorError, Outcome};
use std::collections::BTreeMap;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use twinspan_coordinator_core::{Action, Core, Event, Request, Response, Token};
use twinspan_types::ServiceError;

/// An answer to a request.
pub type Answer = Result<Response, ServiceError>;

/// What the driver is asked.
pub enum Ask {
    /// A request of the service, and where its answer goes.
    Request(Request, oneshot::Sender<Answer>),
    /// What somebody who looks at the run asks for.
    Show(Show),
    /// This process is to stop the run.
    Stop,
}

/// The driver.
pub struct Driver {
    core: Core,
    scribe: Scribe,
    telling: Telling,
    screen: Screen,
    queue: mpsc::Receiver<Ask>,
    waiting: BTreeMap<Token, oneshot::Sender<Answer>>,
    tokens: u64,
    origin: Instant,
}

impl Driver {
    pub fn new(
        core: Core,
        scribe: Scribe,
        telling: Telling,
        screen: Screen,
        queue: mpsc::Receiver<Ask>,
    ) -> Self {
        Self {
            core,
            scribe,
            telling,
            screen,
            queue,
            waiting: BTreeMap::new(),
            tokens: 0,
            origin: Instant::now(),
        }
    }

    /// Runs until the core says that the run is over and all is written.
    pub async fn run(self) -> Result<Outcome, CoordinatorError> {
        let Self {
            mut core,
            scribe,
            mut telling,
            mut screen,
            mut queue,
            mut waiting,
            mut tokens,
            origin,
        } = self;
        let (actions, to_write) = mpsc::channel(WAITING);
        let (tell, mut written) = mpsc::channel(WAITING + 1);
        let mut writer = JoinSet::new();
        writer.spawn(scribe.run(to_write, tell));
        loop {
            let deadline = core.next_deadline().map(|after| origin + after);
            let deadline = deadline.into_iter().chain(screen.due()).min();
            let timer = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            let event = tokio::select! {
                // Not by chance: simulations must be able to repeat themselves.
                biased;
                // What was written comes first: those who ask, and look, may be many.
                Some(event) = written.recv() => event,
                ended = writer.join_next() => return ended_early(ended),
                ask = queue.recv() => match ask {
                    Some(Ask::Stop) => Event::StopRequested,
                    Some(Ask::Show(show)) => {
                        screen.show(&core, show);
                        Event::Tick
                    }
                    Some(Ask::Request(request, answer)) => {
                        let token = Token(tokens);
                        tokens += 1;
                        waiting.insert(token, answer);
                        Event::Request { token, request }
                    }
                    None => return Err(CoordinatorError::DriverGone),
                },
                () = timer => Event::Tick,
            };
            let mut outcome = None;
            telling.hears(&event);
            screen.hears(&core, &event);
            for action in core.handle(origin.elapsed(), event) {
                telling.sees(&action);
                screen.sees(&action);
                match action {
                    Action::Reply(token, answer) => {
                        if let Some(waiting) = waiting.remove(&token) {
                            // A client that has gone needs no answer.
                            let _ = waiting.send(answer);
                        }
                    }
                    Action::Trace(..) => {}
                    Action::Tell(_, text) => tracing::info!("{text}"),
                    Action::Finish(finished) => outcome = Some(finished),
                    action => {
                        if actions.send(action).await.is_err() {
                            return ended_early(writer.join_next().await);
                        }
                    }
                }
            }
            screen.refresh_if_due(&core);
            if let Some(outcome) = outcome {
                screen.close(&core).await;
                drop(actions);
                telling.close().await;
                return match writer.join_next().await {
                    Some(Ok(Ok(()))) => Ok(outcome),
                    ended => ended_early(ended),
                };
            }
        }
    }
}

/// The scribe ended before the run did.
fn ended_early(
    ended: Option<Result<Result<(), CoordinatorError>, tokio::task::JoinError>>,
) -> Result<Outcome, CoordinatorError> {
    match ended {
        Some(Ok(Err(error))) => Err(error),
        _ => Err(CoordinatorError::DriverGone),
    }
}
