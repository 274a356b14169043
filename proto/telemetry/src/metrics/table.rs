//! The metrics.

use super::Metric;

macro_rules! metrics {
    ($($constant:ident: $kind:ident $name:literal $unit:literal, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub static $constant: Metric = Metric {
                name: $name,
                unit: $unit,
                help: $help,
                is_counter: metrics!($kind),
            };
        )*

        /// All of them.
        pub static ALL: &[&Metric] = &[$(&$constant),*];
    };
    (gauge) => { false };
    (counter) => { true };
}

metrics! {
    RUN_STATE: gauge "twinspan.run.state" "{state}", "1 for the state that the run is in";
    STEP: gauge "twinspan.step" "{step}", "The last committed step";
    RUN_STEPS: gauge "twinspan.run.steps" "{step}", "Steps of the whole run";
    TERM: gauge "twinspan.term" "{term}", "The coordinator's term";
    GENERATION: gauge "twinspan.generation" "{generation}", "The generation";
    WORLD_SIZE: gauge "twinspan.world.size" "{rank}", "Ranks of the generation at work";
    WORLD_WANTED: gauge "twinspan.world.wanted" "{rank}", "Workers that the run is to have";
    WORKERS_LOST: counter "twinspan.workers.lost" "{worker}", "Workers that were lost in this term";
    SAMPLES: counter "twinspan.samples" "{sample}", "Samples that were trained on";
    SAMPLES_PER_SECOND: gauge "twinspan.samples_per_second" "{sample}/s", "Samples a second of the last step";
    STEP_DURATION: gauge "twinspan.step.duration" "s", "Length of the last step";
    DATA_WAIT: gauge "twinspan.data.wait" "s", "Time that rank 0 waited for the last step's samples";
    LOSS: gauge "twinspan.loss" "{loss}", "The full-batch contrastive loss of the last step";
    LOGIT_SCALE: gauge "twinspan.logit_scale" "{scale}", "exp of the learned temperature";
    GRADIENT_NORM: gauge "twinspan.gradient.norm" "{norm}", "Norm of the whole gradient before clipping";
    LEARNING_RATE: gauge "twinspan.learning_rate" "{rate}", "Learning rate of the last step";
    EVALUATION: gauge "twinspan.evaluation" "{score}", "The newest evaluation, by metric";
    SAMPLES_SKIPPED: counter "twinspan.samples.skipped" "{sample}", "Samples that could not be used, by reason";
    SHARDS_QUARANTINED: gauge "twinspan.shards_quarantined" "{shard}", "Shards that were given up";
    LANE_LAG: gauge "twinspan.lane.lag_samples" "{sample}", "Samples that a lane is behind the furthest one";
    CHECKPOINT_AGE: gauge "twinspan.checkpoint.age" "s", "Since the newest checkpoint was committed, or since this coordinator began";
    CHECKPOINT_DURATION: gauge "twinspan.checkpoint.duration" "s", "What the newest checkpoint took to be stored and committed";
    CHECKPOINT_SIZE: gauge "twinspan.checkpoint.size" "By", "Size of the newest checkpoint";
    CHECKPOINT_STEP: gauge "twinspan.checkpoint.step" "{step}", "Step of the newest checkpoint";
    STRAGGLER_EXCESS: gauge "twinspan.straggler.excess" "s", "How much longer a step takes the rank that the others wait for, by rank and phase";
    RANK_STEP: gauge "twinspan.rank.step" "{step}", "The last step that a rank committed";
    RANK_HEARTBEAT_AGE: gauge "twinspan.rank.heartbeat.age" "s", "Since a rank's last heartbeat";
    RANK_LEASE_AGE: gauge "twinspan.rank.lease.age" "s", "Since a rank's right to read its lanes was extended";
    RANK_PHASE: counter "twinspan.rank.phase" "s", "Time of a rank's steps, by phase";
    RANK_WIRE: counter "twinspan.rank.wire" "By", "Bytes that a rank exchanged with others in its generation, by direction";
    RANK_MEMORY: gauge "twinspan.rank.memory" "By", "Resident memory of a rank's process";
    RANK_DEVICE_MEMORY: gauge "twinspan.rank.device_memory" "By", "Memory in use on a rank's GPU";
}
