//! A stream's samples in the order in which it gives them.

use crate::order::{EpochPlan, Plan, SampleId, Window};
use std::collections::BTreeMap;
use std::sync::Arc;
use twinspan_types::{Cursor, Epoch, LaneId, SourceId};

/// The epochs that some stream is in, each planned once.
pub(super) struct Epochs {
    plan: Plan,
    planned: BTreeMap<(SourceId, Epoch), Arc<EpochPlan>>,
}

impl Epochs {
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            plan,
            planned: BTreeMap::new(),
        }
    }

    fn get(&mut self, source: SourceId, epoch: Epoch) -> Arc<EpochPlan> {
        if let Some(known) = self.planned.get(&(source, epoch)) {
            return Arc::clone(known);
        }
        self.planned.retain(|_, known| Arc::strong_count(known) > 1);
        let planned = Arc::new(self.plan.source(source).epoch(epoch));
        self.planned.insert((source, epoch), Arc::clone(&planned));
        planned
    }
}

/// A stream on its way.
pub(super) struct StreamWalk {
    lane: LaneId,
    source: SourceId,
    epoch: Arc<EpochPlan>,
    window: Window,
    passed: u64,
}

impl StreamWalk {
    /// From the stream's first sample.
    pub(super) fn new(lane: LaneId, source: SourceId, epochs: &mut Epochs) -> Self {
        let epoch = epochs.get(source, Epoch(0));
        let window = epoch.window(lane, 0);
        Self {
            lane,
            source,
            epoch,
            window,
            passed: 0,
        }
    }

    pub(super) fn lane(&self) -> LaneId {
        self.lane
    }

    /// The position behind the last sample, in the form in which a run keeps it.
    pub(super) fn cursor(&self) -> Cursor {
        let epoch = self.epoch.epoch();
        match self.passed >= self.epoch.lane_length(self.lane) {
            true => Cursor {
                epoch: epoch.next(),
                passed: 0,
            },
            false => Cursor {
                epoch,
                passed: self.passed,
            },
        }
    }

    /// The next sample.
    pub(super) fn next(&mut self, epochs: &mut Epochs) -> SampleId {
        loop {
            let at = (self.passed - self.window.start) as usize;
            let place = self.window.order.get(at);
            if let Some((shard, index_in_shard)) =
                place.and_then(|line| self.window.sample(u64::from(*line)))
            {
                self.passed += 1;
                return SampleId {
                    epoch: self.epoch.epoch(),
                    lane: self.lane,
                    shard,
                    index_in_shard,
                };
            }
            if self.passed >= self.epoch.lane_length(self.lane) {
                self.epoch = epochs.get(self.source, self.epoch.epoch().next());
                self.passed = 0;
            }
            let number = self.epoch.window_at(self.passed);
            self.window = self.epoch.window(self.lane, number);
        }
    }
}
