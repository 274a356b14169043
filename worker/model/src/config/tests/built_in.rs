//! open_clip's own model configs, read where a Python with open_clip is at hand: which load, and
//! that `configs/models/README.md` says so.

use super::*;
use crate::params::ParamTable;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Command;

const README: &str = include_str!("../../../../../configs/models/README.md");

/// Prints every config, and the number of parameters of those that are named to it, which are
/// models of open_clip's own two towers.
const ASK: &str = r"
import json, sys
import open_clip, torch
from open_clip.model import CLIP

configs = {name: open_clip.get_model_config(name) for name in open_clip.list_models()}
counts = {}
for name in sys.argv[1:]:
    with torch.device('meta'):
        model = CLIP(**configs[name])
    counts[name] = sum(parameter.numel() for parameter in model.parameters())
json.dump({'version': open_clip.__version__, 'configs': configs, 'counts': counts}, sys.stdout)
";

/// The names in back-quotes below a heading of the list and above the next.
fn listed(heading: &str) -> Vec<&'static str> {
    let below = README.split_once(heading).expect(heading).1;
    let section = below.split("\n## ").next().unwrap_or_default();
    section.split('`').skip(1).step_by(2).collect()
}

/// The repository's file of that name, where there is one.
fn model_file(name: &str) -> Option<Value> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/models");
    let text = std::fs::read_to_string(format!("{folder}/{name}.json")).ok()?;
    Some(serde_json::from_str(&text).unwrap())
}

#[test]
fn the_list_names_every_config_of_open_clip_once() {
    let (mut loads, mut refused) = (listed("## Load\n"), listed("## Do not load\n"));
    assert_eq!((loads.len(), refused.len()), (41, 103));
    loads.append(&mut refused);
    loads.sort_unstable();
    loads.dedup();
    assert_eq!(loads.len(), 144);
}

#[test]
fn what_the_list_says_of_open_clips_configs_is_so() {
    let Ok(python) = std::env::var("TWINSPAN_TEST_PYTHON") else {
        let reason = "skipped: set TWINSPAN_TEST_PYTHON to a Python with open_clip 3.3.0";
        let _ = writeln!(std::io::stderr(), "{reason}");
        return;
    };
    let loads = listed("## Load\n");
    let mut asked = Command::new(python);
    let answer = asked.args(["-c", ASK]).args(&loads).output().unwrap();
    assert!(answer.status.success(), "{answer:?}");
    let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(answer["version"], "3.3.0");

    let mut faults = BTreeMap::new();
    for (name, config) in answer["configs"].as_object().unwrap() {
        if let Some(own) = model_file(name) {
            assert_eq!(&own, config, "configs/models/{name}.json");
        }
        match ModelConfig::from_json(&config.to_string(), name) {
            Ok(config) => {
                assert!(loads.contains(&name.as_str()), "{name} loads");
                let count = answer["counts"][name].as_u64();
                assert_eq!(
                    Some(ParamTable::new(&config).total() as u64),
                    count,
                    "{name}"
                );
                assert_eq!(config.quick_gelu, name.ends_with("quickgelu"), "{name}");
            }
            Err(error) => {
                faults.insert(name.as_str(), error.to_string());
            }
        }
    }
    let mut refused = listed("## Do not load\n");
    refused.sort_unstable();
    assert_eq!(
        faults.keys().copied().collect::<Vec<_>>(),
        refused,
        "{faults:#?}"
    );
}
