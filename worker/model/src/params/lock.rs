//! What of a model is not trained: locked towers with unlocked last groups, as open_clip groups
//! them (LiT, Zhai et al. 2022).

use twinspan_types::Fault;
use twinspan_types::config::{LockImage, LockText};

use super::{ParamSpec, ParamTable, Tower};
use crate::config::{ModelConfig, VisionConfig};

impl ParamTable {
    /// Locks what a run file says.
    ///
    /// # Errors
    /// A ModifiedResNet is to be locked in part, which open_clip does not do either.
    pub(crate) fn lock(
        &mut self,
        config: &ModelConfig,
        image: Option<&LockImage>,
        text: Option<&LockText>,
    ) -> Result<(), Fault> {
        if let Some(lock) = image {
            match config.vision {
                VisionConfig::ViT { layers, .. } => {
                    self.lock_tower(Tower::Image, layers, lock.unlocked_groups);
                }
                VisionConfig::ResNet { .. } if lock.unlocked_groups > 0 => {
                    return Err(Fault {
                        path: "model.lock_image.unlocked_groups".to_owned(),
                        message: format!(
                            "{}: a ModifiedResNet is locked whole; leave the key out",
                            lock.unlocked_groups
                        ),
                    });
                }
                VisionConfig::ResNet { .. } => self.lock_tower(Tower::Image, 0, 0),
            }
        }
        if let Some(lock) = text {
            self.lock_tower(Tower::Text, config.text.layers, lock.unlocked_layers);
        }
        Ok(())
    }

    /// Locks a tower of `layers` blocks but for its last `unlocked` groups: the embeddings are the
    /// first group, each block is one, the last block with the norm behind it, the projection.
    fn lock_tower(&mut self, tower: Tower, layers: usize, unlocked: u64) {
        let groups = layers as u64 + 2;
        let own = self.specs.iter_mut().filter(|spec| spec.tower == tower);
        for spec in own {
            let group = group(&spec.name, layers) as u64;
            spec.locked = group + unlocked.min(groups) < groups;
        }
    }

    /// Whether any parameter of a tower is trained.
    #[must_use]
    pub fn is_trained(&self, tower: Tower) -> bool {
        let mut own = self.specs.iter().filter(|spec| spec.tower == tower);
        own.any(|spec: &ParamSpec| !spec.locked)
    }
}

/// The number of a parameter's group, from the input's side.
fn group(name: &str, layers: usize) -> usize {
    let name = name.strip_prefix("visual.").unwrap_or(name);
    let block = name.strip_prefix("transformer.resblocks.");
    let block = block.and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
    match (block, name) {
        (Some(block), _) => block + 1,
        (None, "proj" | "text_projection") => layers + 1,
        (None, name) if name.starts_with("ln_post.") || name.starts_with("ln_final.") => layers,
        (None, _) => 0,
    }
}
