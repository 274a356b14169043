//! `twinspan classify`, `twinspan embed` and `twinspan search`.

use clap::{ArgGroup, Args, ValueEnum};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// `twinspan classify`.
#[derive(Args)]
#[command(group = ArgGroup::new("names").required(true).args(["labels", "labels_file"]))]
#[command(
    after_help = "A probability is the softmax over the labels of logit scale x cosine. With several templates a
label's vector is the normalised mean of its prompts' vectors, as CLIP does it. A picture that does
not decode is named and passed over; exit code 1 where none could be classified.

Examples:
  twinspan classify runs/quickstart cat.jpg --labels 'cat,dog,a pile of books'
  twinspan classify runs/quickstart pictures/ --labels-file classnames.txt --json
  twinspan classify runs/quickstart cat.jpg --labels cat,dog --template '{c}' --template 'my {c}'"
)]
pub struct ClassifyArgs {
    /// Directory of a run (its newest checkpoint is taken) or of a checkpoint
    pub checkpoint: String,
    /// Pictures (.jpg .png .jpeg .webp), or folders for all pictures below
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<PathBuf>,
    /// Labels, separated by commas
    #[arg(long, value_name = "LABELS")]
    pub labels: Option<String>,
    /// File of labels, one a line
    #[arg(long, value_name = "FILE")]
    pub labels_file: Option<PathBuf>,
    /// Prompt in which {c} stands for the label; may be given several times
    #[arg(long, value_name = "TEMPLATE", default_value = "a photo of a {c}")]
    pub template: Vec<String>,
    /// Print JSON, with every label of every picture
    #[arg(long)]
    pub json: bool,
}

/// `twinspan embed`.
#[derive(Args)]
#[command(group = ArgGroup::new("input").required(true).multiple(true).args(["images", "texts"]))]
#[command(
    after_help = "Vectors have length 1. Parquet has the columns key (path, webdataset key or text), kind (image or
text) and embedding (a list of float32 of one length); .npy is float32 [N, D] with a line
'kind<tab>key' for each row in .keys.txt beside it. The file is written whole or not at all. A
picture that does not decode is named and passed over; exit code 1 where none could be embedded.

Examples:
  twinspan embed runs/quickstart --images pictures/ --out vectors.parquet
  twinspan embed runs/quickstart --images 's3://bucket/set/{00000..00099}.tar' --out vectors.parquet
  twinspan embed runs/quickstart --texts captions.txt --out captions.npy"
)]
pub struct EmbedArgs {
    /// Directory of a run (its newest checkpoint is taken) or of a checkpoint
    pub checkpoint: String,
    /// Folder of pictures, one picture, shards with braces, or their folder
    #[arg(long, value_name = "IMAGES")]
    pub images: Option<String>,
    /// File of texts, one a line
    #[arg(long, value_name = "FILE")]
    pub texts: Option<PathBuf>,
    /// Write the vectors there: .parquet or .npy
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// `twinspan search`.
#[derive(Args)]
#[command(
    after_help = "Compares the text with every vector of the file by cosine. The vectors must be of the same
checkpoint: those of another one are refused.

Examples:
  twinspan search runs/quickstart vectors.parquet 'red car'
  twinspan search runs/quickstart vectors.parquet 'red car' -k 3 --json"
)]
pub struct SearchArgs {
    /// Directory of a run (its newest checkpoint is taken) or of a checkpoint
    pub checkpoint: String,
    /// .parquet file that `twinspan embed` wrote
    pub vectors: PathBuf,
    /// What to look for
    pub query: String,
    /// How many to show
    #[arg(short, value_name = "N", default_value = "10")]
    pub k: NonZeroUsize,
    /// What to search among
    #[arg(long, value_name = "KIND", default_value = "image")]
    pub kind: SearchKind,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What can be searched among.
#[derive(Clone, Copy, ValueEnum)]
pub enum SearchKind {
    /// Pictures
    Image,
    /// Texts
    Text,
}
