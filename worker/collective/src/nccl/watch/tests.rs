//! A communicator's life in every order of events that matters.

use super::*;
use twinspan_types::Rank;

const GENERATION: Generation = Generation(7);
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(30),
    step: Duration::from_secs(10),
};

/// A communicator with a clock that is set by hand.
struct Life {
    watch: Watch,
    now: Instant,
}

impl Life {
    fn joining() -> Self {
        let now = Instant::now();
        let watch = Watch::new(GENERATION, LIMITS, now);
        Self { watch, now }
    }

    fn open() -> Self {
        let mut life = Self::joining();
        assert_eq!(life.tell(Event::Polled(Health::Ready)), ["open"]);
        life
    }

    /// An open one on whose stream operation 1 to n are.
    fn with(operations: u64) -> Self {
        let mut life = Self::open();
        for number in 1..=operations {
            let launched = life.tell(Event::Called(flight(number), Health::Ready));
            assert_eq!(launched, [format!("launched {number}")]);
        }
        life
    }

    fn tell(&mut self, event: Event) -> Vec<String> {
        self.tell_of(GENERATION, event)
    }

    fn tell_of(&mut self, generation: Generation, event: Event) -> Vec<String> {
        let actions = self.watch.handle(self.now, generation, event);
        actions.iter().map(said).collect()
    }

    fn after(&mut self, seconds: f64, event: Event) -> Vec<String> {
        self.now += Duration::from_secs_f64(seconds);
        self.tell(event)
    }

    /// Whether nothing that can happen does anything any more.
    fn is_over(&mut self) -> bool {
        let events = [
            Event::Polled(Health::Ready),
            Event::Polled(Health::Broken("late".to_owned())),
            Event::Called(flight(99), Health::Ready),
            Event::Passed(Ticket(1)),
            Event::Aborted("again".to_owned()),
            Event::PeerGone(left(3)),
            Event::DeviceFailed("late".to_owned()),
            Event::Leave,
            Event::Tick,
        ];
        let silent = events
            .into_iter()
            .all(|event| self.after(1000.0, event).is_empty());
        silent && !self.watch.is_alive() && !self.watch.takes_calls()
    }
}

fn flight(number: u64) -> Flight {
    Flight {
        ticket: Ticket(number),
        operation: Operation::AllReduceSum,
        sequence: number,
    }
}

fn left(rank: u32) -> CollectiveError {
    CollectiveError::PeerLeft {
        peer: Rank(rank),
        reason: "done".to_owned(),
    }
}

/// An action in a word, and what it fails with.
fn said(action: &Action) -> String {
    match action {
        Action::Open => "open".to_owned(),
        Action::Refuse(text) => format!("refuse: {text}"),
        Action::Launched(Ticket(number)) => format!("launched {number}"),
        Action::Completed(Ticket(number)) => format!("completed {number}"),
        Action::Abort => "abort".to_owned(),
        Action::Destroy => "destroy".to_owned(),
        Action::Fail(error) => match error {
            CollectiveError::Timeout { sequence, .. } => format!("timeout in {sequence}"),
            CollectiveError::Aborted { reason } => format!("aborted: {reason}"),
            CollectiveError::PeerLeft { peer, .. } => format!("left: {peer}"),
            CollectiveError::PeerLost { peer, .. } => format!("lost: {peer}"),
            CollectiveError::Local { source, .. } => format!("local: {source}"),
            CollectiveError::Poisoned { cause } => format!("nobody named: {cause}"),
            other => format!("unexpected: {other}"),
        },
    }
}

fn busy() -> Event {
    Event::Polled(Health::Busy)
}

#[test]
fn an_operation_is_launched_when_nccl_is_ready_and_completed_when_the_stream_has_passed() {
    let mut life = Life::open();
    assert!(life.watch.takes_calls() && life.watch.is_idle());
    assert!(life.tell(Event::Called(flight(1), Health::Busy)).is_empty());
    // A busy communicator refuses a second call for good.
    assert!(!life.watch.takes_calls());
    assert!(life.tell(busy()).is_empty());
    // Not on the stream yet: what seems to be past it is another operation.
    assert!(life.tell(Event::Passed(Ticket(1))).is_empty());
    assert_eq!(life.tell(Event::Polled(Health::Ready)), ["launched 1"]);
    assert!(life.watch.takes_calls() && !life.watch.is_idle());
    assert!(life.tell(Event::Polled(Health::Ready)).is_empty());
    assert_eq!(life.tell(Event::Passed(Ticket(1))), ["completed 1"]);
    assert!(life.watch.is_idle());
    assert!(life.tell(Event::Passed(Ticket(1))).is_empty());
}

#[test]
fn what_lies_before_a_passed_operation_is_done_too() {
    let mut life = Life::with(3);
    let done = life.tell(Event::Passed(Ticket(2)));
    assert_eq!(done, ["completed 1", "completed 2"]);
    assert_eq!(life.tell(Event::Passed(Ticket(3))), ["completed 3"]);
}

#[test]
fn a_caller_far_ahead_of_the_device_waits_until_an_operation_is_done() {
    let mut life = Life::with(MOST_PENDING as u64);
    assert!(!life.watch.takes_calls());
    assert_eq!(life.tell(Event::Passed(Ticket(1))), ["completed 1"]);
    assert!(life.watch.takes_calls());
}

#[test]
fn ranks_that_do_not_come_together_are_refused_at_the_connect_timeout() {
    for event in [busy as fn() -> Event, || Event::Tick] {
        let mut life = Life::joining();
        assert!(life.after(29.9, event()).is_empty());
        let over = life.after(0.2, event());
        assert!(
            over[0].starts_with("refuse: ") && over[0].contains("30.1s"),
            "{over:?}"
        );
        assert_eq!(over[1], "abort");
        assert!(life.is_over());
    }
}

#[test]
fn an_answer_at_the_last_moment_still_opens() {
    let mut life = Life::joining();
    assert_eq!(life.after(31.0, Event::Polled(Health::Ready)), ["open"]);
}

#[test]
fn an_operation_that_outlives_the_step_timeout_aborts_the_communicator_and_is_named() {
    let mut life = Life::with(2);
    assert!(life.after(9.9, Event::Tick).is_empty());
    assert_eq!(life.after(0.2, Event::Tick), ["timeout in 1", "abort"]);
    assert!(life.is_over());
}

#[test]
fn an_operation_that_is_never_launched_has_the_same_deadline() {
    let mut life = Life::open();
    life.tell(Event::Called(flight(1), Health::Busy));
    assert!(life.after(9.9, busy()).is_empty());
    assert_eq!(life.after(0.2, Event::Tick), ["timeout in 1", "abort"]);
}

#[test]
fn an_operation_that_ends_starts_the_clock_of_those_behind_it_again() {
    let mut life = Life::with(3);
    assert_eq!(life.after(9.0, Event::Passed(Ticket(1))), ["completed 1"]);
    assert!(life.after(9.0, Event::Tick).is_empty());
    assert_eq!(life.tell(Event::Passed(Ticket(2))), ["completed 2"]);
    assert_eq!(life.after(10.0, Event::Tick), ["timeout in 3", "abort"]);
}

#[test]
fn a_communicator_without_operations_has_no_deadline() {
    let mut life = Life::open();
    assert!(life.after(100_000.0, Event::Tick).is_empty());
    life.tell(Event::Called(flight(1), Health::Ready));
    assert!(life.after(9.9, Event::Tick).is_empty());
}

#[test]
fn an_operation_that_ended_before_the_deadline_is_no_timeout_however_late_it_is_seen() {
    let mut life = Life::with(1);
    assert_eq!(life.after(60.0, Event::Passed(Ticket(1))), ["completed 1"]);
    assert!(life.tell(Event::Tick).is_empty());
}

#[test]
fn an_abort_ends_every_phase_and_those_who_wait_are_told_before_the_communicator_is_freed() {
    let abort = || Event::Aborted("a new world".to_owned());
    let mut waiting = Life::open();
    waiting.tell(Event::Called(flight(1), Health::Busy));
    let mut asking = Life::with(1);
    asking.tell(Event::Polled(Health::Unlinked("reset".to_owned())));
    let mut leaving = Life::with(1);
    leaving.tell(Event::Leave);
    let lives = [
        Life::joining(),
        Life::open(),
        Life::with(2),
        waiting,
        asking,
        leaving,
    ];
    for mut life in lives {
        assert_eq!(life.tell(abort()), ["aborted: a new world", "abort"]);
        assert!(life.is_over());
    }
}

#[test]
fn a_second_abort_frees_nothing_twice() {
    let mut life = Life::with(1);
    assert_eq!(life.tell(Event::Aborted("one".to_owned())).len(), 2);
    assert!(life.tell(Event::Aborted("two".to_owned())).is_empty());
}

#[test]
fn an_aborted_communicator_never_opens_however_late_nccl_is_ready() {
    let mut life = Life::joining();
    life.tell(Event::Aborted("no".to_owned()));
    assert!(life.tell(Event::Polled(Health::Ready)).is_empty());
    assert!(!life.watch.takes_calls());
}

#[test]
fn what_concerns_another_generation_changes_nothing() {
    for other in [Generation(6), Generation(8)] {
        let events = [
            Event::Aborted("old news".to_owned()),
            Event::PeerGone(left(1)),
            Event::Polled(Health::Broken("old".to_owned())),
            Event::Passed(Ticket(1)),
            Event::Called(flight(2), Health::Ready),
            Event::DeviceFailed("old".to_owned()),
            Event::Leave,
        ];
        let mut life = Life::with(1);
        for event in events {
            assert!(life.tell_of(other, event).is_empty());
        }
        assert!(life.watch.takes_calls() && !life.watch.is_idle());
        assert_eq!(life.tell(Event::Passed(Ticket(1))), ["completed 1"]);
    }
    let mut life = Life::joining();
    assert!(
        life.tell_of(Generation(6), Event::Polled(Health::Ready))
            .is_empty()
    );
    assert!(!life.watch.takes_calls());
}

#[test]
fn an_asynchronous_error_of_this_rank_fails_at_once() {
    let broken = || Health::Broken("internal error".to_owned());
    for event in [Event::Polled(broken()), Event::Called(flight(2), broken())] {
        let mut life = Life::with(1);
        assert_eq!(life.tell(event), ["local: internal error", "abort"]);
        assert!(life.is_over());
    }
}

#[test]
fn an_asynchronous_error_of_another_rank_is_its_who_is_named_within_the_wait() {
    let mut life = Life::with(1);
    let unlinked = || Event::Polled(Health::Unlinked("reset".to_owned()));
    assert!(life.tell(unlinked()).is_empty());
    assert!(!life.watch.takes_calls());
    assert!(life.after(0.2, unlinked()).is_empty());
    assert!(life.tell(Event::Tick).is_empty());
    assert_eq!(life.tell(Event::PeerGone(left(2))), ["left: 2", "abort"]);
    assert!(life.is_over());
}

#[test]
fn an_asynchronous_error_that_nobody_is_named_for_blames_nobody() {
    let mut life = Life::with(1);
    life.tell(Event::Polled(Health::Unlinked("reset".to_owned())));
    let over = life.after(0.31, Event::Tick);
    let named = "nobody named: all_reduce_sum (collective 1): reset";
    assert_eq!(over, [named, "abort"]);
    assert!(life.is_over());
}

#[test]
fn an_error_while_joining_is_refused_and_not_asked_about() {
    for health in [
        Health::Broken("no interface".to_owned()),
        Health::Unlinked("no interface".to_owned()),
    ] {
        let mut life = Life::joining();
        let over = life.tell(Event::Polled(health));
        assert_eq!(over, ["refuse: no interface", "abort"]);
        assert!(life.is_over());
    }
    let mut life = Life::joining();
    let over = life.tell(Event::DeviceFailed("no memory".to_owned()));
    assert_eq!(over, ["refuse: no memory", "abort"]);
}

#[test]
fn a_lost_peer_ends_joining_and_operations() {
    for mut life in [Life::joining(), Life::open(), Life::with(2)] {
        assert_eq!(life.tell(Event::PeerGone(left(1))), ["left: 1", "abort"]);
        assert!(life.is_over());
    }
}

#[test]
fn a_device_that_fails_is_this_machines_fault() {
    for operations in 0..2 {
        let mut life = Life::with(operations);
        let over = life.tell(Event::DeviceFailed("illegal address".to_owned()));
        assert_eq!(over, ["local: illegal address", "abort"]);
        assert!(life.is_over());
    }
}

#[test]
fn leaving_destroys_at_once_or_when_the_last_operation_is_done_and_takes_no_more() {
    let mut idle = Life::open();
    assert_eq!(idle.tell(Event::Leave), ["destroy"]);
    assert!(idle.is_over());
    let mut busy = Life::with(2);
    assert!(busy.tell(Event::Leave).is_empty());
    assert!(!busy.watch.takes_calls());
    assert_eq!(busy.tell(Event::Passed(Ticket(1))), ["completed 1"]);
    let last = busy.tell(Event::Passed(Ticket(2)));
    assert_eq!(last, ["completed 2", "destroy"]);
    assert!(busy.is_over());
}

#[test]
fn leaving_aborts_what_does_not_end_and_what_was_never_joined() {
    let mut stuck = Life::with(1);
    stuck.tell(Event::Leave);
    // The limit is the first one's: leaving again does not put it off.
    assert!(stuck.after(9.0, Event::Leave).is_empty());
    assert_eq!(stuck.after(1.0, Event::Tick), ["abort"]);
    assert!(stuck.is_over());
    let mut joining = Life::joining();
    assert_eq!(joining.tell(Event::Leave), ["abort"]);
    assert!(joining.is_over());
    let mut asking = Life::with(1);
    asking.tell(Event::Polled(Health::Unlinked("reset".to_owned())));
    assert_eq!(asking.tell(Event::Leave), ["abort"]);
    assert!(asking.is_over());
}

#[test]
fn an_operation_that_nccl_has_not_taken_cannot_be_left_in_good_order() {
    let mut life = Life::open();
    life.tell(Event::Called(flight(1), Health::Busy));
    assert!(life.tell(Event::Leave).is_empty());
    assert_eq!(life.after(10.0, Event::Tick), ["abort"]);
}

#[test]
fn looks_are_close_together_at_first_and_never_far_apart_while_something_is_under_way() {
    let mut life = Life::with(1);
    assert_eq!(life.watch.pause(life.now), PAUSES.0);
    life.now += Duration::from_secs(5);
    assert_eq!(life.watch.pause(life.now), PAUSES.1);
    life.tell(Event::Passed(Ticket(1)));
    assert_eq!(life.watch.pause(life.now), IDLE);
}

/// Any events in any order: at most one of abort and destroy, nothing after it, and every failure
/// comes with an abort.
mod any_order {
    use super::*;
    use proptest::prelude::*;

    fn event(number: u8, ticket: u64) -> Event {
        match number {
            0 => Event::Polled(Health::Ready),
            1 => Event::Polled(Health::Busy),
            2 => Event::Polled(Health::Unlinked("reset".to_owned())),
            3 => Event::Polled(Health::Broken("bug".to_owned())),
            4 => Event::Called(flight(ticket), Health::Busy),
            5 => Event::Called(flight(ticket), Health::Ready),
            6 => Event::Passed(Ticket(ticket)),
            7 => Event::Aborted("stop".to_owned()),
            8 => Event::PeerGone(left(1)),
            9 => Event::DeviceFailed("broken".to_owned()),
            10 => Event::Leave,
            _ => Event::Tick,
        }
    }

    proptest! {
        #[test]
        fn a_communicator_is_freed_once_and_silent_afterwards(
            steps in prop::collection::vec((0_u8..14, 0.0_f64..4.0), 1..80),
        ) {
            let mut life = Life::joining();
            let (mut ticket, mut freed) = (0, 0);
            let mut launched = Vec::new();
            for (number, seconds) in steps {
                // Frequent events are the ones that go on.
                if matches!(number, 4 | 5) {
                    if !life.watch.takes_calls() { continue; }
                    ticket += 1;
                }
                let over = freed > 0;
                let actions = life.after(seconds, event(number, ticket));
                prop_assert!(!over || actions.is_empty(), "{:?}", actions);
                for action in &actions {
                    match action.split_once(' ') {
                        Some(("launched", number)) => launched.push(number.to_owned()),
                        Some(("completed", number)) => {
                            prop_assert!(!launched.is_empty());
                            prop_assert_eq!(launched.remove(0), number);
                        }
                        _ if action == "abort" || action == "destroy" => freed += 1,
                        _ => {}
                    }
                }
                let failed = actions.iter().any(|said| said.contains(':') || said.starts_with("timeout"));
                prop_assert!(!failed || actions.last().is_some_and(|last| last == "abort"));
                prop_assert!(actions.last().is_none_or(|last| last != "destroy") || launched.is_empty());
                prop_assert!(freed <= 1);
            }
        }
    }
}
