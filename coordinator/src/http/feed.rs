//! What the streams bring: the documents as they were last, at most once a second.

use crate::view::{Document, View};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use twinspan_types::RunStatus;

/// Least time between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// All documents of [`Document::STREAMED`], as JSON. One that has not changed is the same one.
pub type Frame = [Arc<str>; Document::STREAMED.len()];

/// Gives frames to those who watch, and makes none while nobody does.
pub struct Feed {
    frames: watch::Sender<Frame>,
    made: Option<Instant>,
}

impl Default for Feed {
    fn default() -> Self {
        let nothing = Document::STREAMED.map(|_| Arc::from(""));
        Self {
            frames: watch::Sender::new(nothing),
            made: None,
        }
    }
}

impl Feed {
    /// When the next frame is due; never while nobody watches.
    pub fn due(&self) -> Option<Instant> {
        let made = self.made.filter(|_| self.frames.receiver_count() > 0);
        made.map(|made| made + PERIOD)
    }

    /// The frames from now on, beginning with one of now.
    pub fn watch(
        &mut self,
        now: Instant,
        view: &mut View,
        status: &RunStatus,
    ) -> watch::Receiver<Frame> {
        if self.made.is_none_or(|made| made + PERIOD <= now) {
            self.publish(now, view, status);
        }
        let mut frames = self.frames.subscribe();
        frames.mark_changed();
        frames
    }

    /// Gives a frame of now to those who watch.
    pub fn publish(&mut self, now: Instant, view: &mut View, status: &RunStatus) {
        let before = self.frames.borrow().clone();
        let mut known = before.iter();
        let frame = Document::STREAMED.map(|document| {
            let text = view.document(document, status).unwrap_or_default();
            let same = known.next().filter(|known| ***known == *text);
            same.map_or_else(|| Arc::from(text), Arc::clone)
        });
        self.frames.send_replace(frame);
        self.made = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::sample;

    #[tokio::test]
    async fn frames_are_made_for_those_who_watch_and_share_what_stays_the_same() {
        let (mut feed, mut view, mut status) = (Feed::default(), sample::full(), sample::status());
        let now = Instant::now();
        assert_eq!(feed.due(), None);
        let mut frames = feed.watch(now, &mut view, &status);
        assert!(frames.has_changed().expect("open"));
        assert_eq!(feed.due(), Some(now + PERIOD));
        let first = frames.borrow_and_update().clone();
        status.message = "another".to_owned();
        feed.publish(now + PERIOD, &mut view, &status);
        let second = frames.borrow_and_update().clone();
        assert!(second[0].contains("another") && !Arc::ptr_eq(&first[0], &second[0]));
        for (first, second) in first.iter().zip(&second).skip(1) {
            assert!(Arc::ptr_eq(first, second));
        }
        drop(frames);
        assert_eq!(feed.due(), None);
    }
}
