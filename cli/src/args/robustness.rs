//! `twinspan eval robustness`.

use clap::Args;
use std::num::NonZeroU64;
use std::path::PathBuf;

/// `twinspan eval robustness`.
#[derive(Args)]
#[command(
    after_help = "The robustness experiment of the CLIP paper (Radford et al. 2021, section 3.3) in small. It trains two
models from random weights and measures both twice:

  CLIP zero-shot   the run file's model, trained on pictures with captions
  supervised       the run file's image tower and a linear layer over the classes, trained on the same
                   pictures with their classes, under cross-entropy

What is equal: the image tower and its first weights; the pictures, batches and random crops of every
step; the number of steps; optimiser, learning rate and schedule, which are the run file's (chosen
for CLIP, not searched for either model). What differs: the target, and the text tower that CLIP has.

  seen styles      one in ten training pictures, chosen by a hash of the key, kept from both models
  unseen style     the test set, of whose style there is no training picture

A class of which a picture is held out has that picture fewer to be trained with, so the seen styles
are measured a little low, for both models alike.

CLIP is zero-shot in that it never sees a class label: it compares pictures with prompts made of
classnames.txt and the templates. Its captions may name the same things.

A training picture's class is its .cls member; without one, it is found by what stands behind the last
_ of its key, which must be that of keys in the test set: noto_1F605 has twemoji_1F605's class.

The test set has CLIP_benchmark's layout: classnames.txt, zeroshot_classification_templates.txt, and
shards with .cls members below test/. Both trainings go through data.train of the run file; its
name, output and eval are not used.

Ctrl-C finishes the step in flight and stops with exit code 130. The same command goes on with CLIP's
training where it stopped, takes it as it is where it has ended, and begins the classifier anew.

Example:
  twinspan eval robustness configs/quickstart.yaml --test tests/data/emoji/"
)]
pub struct RobustnessArgs {
    /// Run file of the CLIP model
    pub config: PathBuf,
    /// Root of the classification set in the unseen style
    #[arg(long, value_name = "SET")]
    pub test: String,
    /// Folder of this machine for both parts of the pictures and for CLIP's run [default:
    /// RUN-robustness in the run file's output, where that is a folder]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Steps of both trainings, instead of the run file's train.steps
    #[arg(long, value_name = "N")]
    pub steps: Option<NonZeroU64>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
