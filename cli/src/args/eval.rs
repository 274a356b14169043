//! `twinspan eval`.

use super::RobustnessArgs;
use clap::{Args, Subcommand};

/// `twinspan eval`.
#[derive(Args)]
pub struct EvalArgs {
    /// What to measure.
    #[command(subcommand)]
    pub task: EvalTask,
}

/// What `twinspan eval` can measure.
#[derive(Subcommand)]
pub enum EvalTask {
    /// Zero-shot classification of pictures whose classes are known
    ZeroShot(ZeroShotArgs),
    /// Retrieval between pictures and captions
    Retrieval(RetrievalArgs),
    /// Logistic regression on the frozen embeddings of pictures whose classes are known
    LinearProbe(LinearProbeArgs),
    /// Compare zero-shot CLIP with a supervised classifier in a style that neither has seen
    Robustness(RobustnessArgs),
}

/// `twinspan eval zero-shot`.
#[derive(Args)]
#[command(
    after_help = "The set is one in CLIP_benchmark's webdataset layout (classnames.txt,
zeroshot_classification_templates.txt, shards with .cls members below test/), or a folder with one
folder of pictures for each class, as ImageNet's. There a class is called as its folder, underscores
read as spaces, unless --classnames or the set's classnames.txt names the classes in the order of the
folders' names; and the template is 'a photo of a {c}' unless --templates or the set's
zeroshot_classification_templates.txt gives others.

Examples:
  twinspan eval zero-shot runs/quickstart tests/data/emoji/
  twinspan eval zero-shot runs/quickstart val/ --classnames names.txt --templates prompts.txt
  twinspan eval zero-shot runs/quickstart pets/ --json"
)]
pub struct ZeroShotArgs {
    /// Directory of a run (its newest checkpoint is taken) or of a checkpoint, or a file of weights
    pub checkpoint: String,
    /// Root of the set
    pub dataset: String,
    /// File of class names, one a line
    #[arg(long, value_name = "FILE")]
    pub classnames: Option<String>,
    /// File of prompt templates, one a line, each with {c} for the class name
    #[arg(long, value_name = "FILE")]
    pub templates: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `twinspan eval retrieval`.
#[derive(Args)]
#[command(
    after_help = "A picture may have several captions: the lines of its .txt, or a JSON list of texts in its .txt or
.json. A picture is found when any of its captions is among the first k; every caption is a query.

Examples:
  twinspan eval retrieval runs/quickstart 'tests/data/emoji/test/{0..2}.tar'
  twinspan eval retrieval runs/quickstart s3://pictures/coco/test/ --json"
)]
pub struct RetrievalArgs {
    /// Directory of a run (its newest checkpoint is taken) or of a checkpoint, or a file of weights
    pub checkpoint: String,
    /// Shards with braces, or their folder with a / at its end
    pub dataset: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `twinspan eval linear-probe`.
#[derive(Args)]
#[command(
    after_help = "A set is a folder with one folder of pictures for each class, or shards (with braces, or their
folder) with .cls members. Folders of the two sets are matched by name.

Examples:
  twinspan eval linear-probe runs/quickstart --train pets/train/ --test pets/test/
  twinspan eval linear-probe runs/quickstart --train 'a/{0..9}.tar' --test b/ -C 10 --json"
)]
pub struct LinearProbeArgs {
    /// Directory of a run (its newest checkpoint is taken) or of a checkpoint, or a file of weights
    pub checkpoint: String,
    /// Set to learn from
    #[arg(long, value_name = "SET")]
    pub train: String,
    /// Set to test on
    #[arg(long, value_name = "SET")]
    pub test: String,
    /// scikit-learn's C: the smaller, the stronger the L2 penalty
    #[arg(short = 'C', value_name = "C", default_value = "1", value_parser = positive)]
    pub c: f64,
    /// Steps of the fit at most
    #[arg(long, value_name = "N", default_value = "1000")]
    pub iterations: u64,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok();
    let number = number.filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| format!("{text:?} is not a number above 0"))
}
