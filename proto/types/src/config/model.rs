//! The model: its numbers, where its first weights come from, and what of it is not trained.

use super::parse::Folder;
use super::reader::{BELOW_ONE, Section};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The model of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelSection {
    /// open_clip's model JSON, in full.
    pub config: Value,
    /// URL of the weights that the run starts from: a checkpoint's directory, or a `.safetensors`,
    /// `.pt` or `.bin` file; absent: random ones.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub init_from: Option<String>,
    /// What is locked of the image tower; absent: all of it is trained.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lock_image: Option<LockImage>,
    /// What is locked of the text tower; absent: all of it is trained.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lock_text: Option<LockText>,
}

impl ModelSection {
    /// Where the first weights come from, in words.
    pub(super) fn first_weights(&self) -> String {
        let random = || "random weights".to_owned();
        self.init_from.clone().unwrap_or_else(random)
    }
}

/// open_clip's `--lock-image`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockImage {
    /// Groups of layers, counted from the output, that are trained all the same.
    pub unlocked_groups: u64,
    /// Whether the batch norms of locked layers keep their running statistics.
    pub freeze_bn_stats: bool,
}

/// open_clip's `--lock-text`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockText {
    /// Groups of layers, counted from the output, that are trained all the same.
    pub unlocked_layers: u64,
}

/// Keys by which a mapping is this section and no model JSON written in place.
const OWN: [&str; 6] = [
    "config",
    "init_from",
    "force_image_size",
    "force_patch_dropout",
    "lock_image",
    "lock_text",
];

/// Reads `model`: the path of open_clip's JSON, the JSON itself, or a mapping that holds either as
/// `config` beside what is done with it.
pub(super) fn model(top: &mut Section<'_>, folder: &Folder<'_>) -> ModelSection {
    let plain = |config| ModelSection {
        config,
        init_from: None,
        lock_image: None,
        lock_text: None,
    };
    match top.take("model") {
        Some(Value::Object(values)) if OWN.iter().any(|key| values.contains_key(*key)) => {
            section(top.nested("model", Value::Object(values)), folder)
        }
        value => plain(json(top, "model", value, folder)),
    }
}

fn section(mut section: Section<'_>, folder: &Folder<'_>) -> ModelSection {
    let value = section.take("config");
    let mut config = json(&section, "config", value, folder);
    let forces = ["force_image_size", "force_patch_dropout"].map(|key| section.has(key));
    let side = section.positive("force_image_size", 224);
    let share = section.number("force_patch_dropout", 0.0, BELOW_ONE);
    let fields = [("image_size", side.into()), ("patch_dropout", share.into())];
    for ((field, value), _) in fields.into_iter().zip(forces).filter(|(_, forced)| *forced) {
        force(&mut config, field, value);
    }
    let model = ModelSection {
        config,
        // Without a slash at its end: whether a folder is still there must not change its name.
        init_from: section
            .string("init_from")
            .map(|path| folder.url(&path).trim_end_matches('/').to_owned()),
        lock_image: section.optional("lock_image").map(|mut lock| {
            let locked = LockImage {
                unlocked_groups: lock.integer("unlocked_groups", 0),
                freeze_bn_stats: lock.flag("freeze_bn_stats", false),
            };
            lock.finish();
            locked
        }),
        lock_text: section.optional("lock_text").map(|mut lock| {
            let locked = LockText {
                unlocked_layers: lock.integer("unlocked_layers", 0),
            };
            lock.finish();
            locked
        }),
    };
    section.finish();
    model
}

/// A field of the image tower, whatever the file says.
fn force(config: &mut Value, field: &str, value: Value) {
    if let Some(vision) = config.get_mut("vision_cfg").and_then(Value::as_object_mut) {
        vision.insert(field.to_owned(), value);
    }
}

/// open_clip's model JSON, from its path or in place.
fn json(section: &Section<'_>, key: &str, value: Option<Value>, folder: &Folder<'_>) -> Value {
    let fault = |message: String| {
        section.fault(key, message);
        Value::Object(Map::new())
    };
    match value {
        Some(Value::String(path)) => {
            let file = folder.path(&path);
            match std::fs::read_to_string(&file).map(|text| serde_json::from_str(&text)) {
                Ok(Ok(json)) => json,
                Ok(Err(error)) => fault(format!("{}: not JSON: {error}", file.display())),
                Err(error) => fault(format!(
                    "{}: {error}; give the path of an open_clip model JSON, from the run file's folder",
                    file.display()
                )),
            }
        }
        Some(json @ Value::Object(_)) => json,
        Some(other) => fault(format!("{other} is neither a path nor a mapping")),
        None => fault(format!(
            "is missing; give for example {key}: models/quickstart.json"
        )),
    }
}
