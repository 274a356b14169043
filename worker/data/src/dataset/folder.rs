//! A folder of classes, as ImageNet lies on a disk: one folder for each class, pictures inside.

use super::EvalError;
use crate::loader::PICTURES;
use crate::store::{Object, Stores};
use std::collections::BTreeMap;

/// A picture of a class.
#[derive(Debug, Clone)]
pub(super) struct ClassFile {
    /// Its path below the set's root.
    pub(super) key: String,
    /// Where it lies.
    pub(super) object: Object,
    /// Its class: the place of its folder among the others.
    pub(super) label: usize,
}

/// The folders of a set, sorted by name as torchvision's `ImageFolder` does it.
#[derive(Debug)]
pub(super) struct ClassFolder {
    /// The folders' names.
    pub(super) names: Vec<String>,
    /// The pictures, class by class.
    pub(super) files: Vec<ClassFile>,
}

impl ClassFolder {
    /// Looks for pictures in folders below `root`, at any depth; none where there are none.
    /// Pictures that lie beside the folders belong to no class, and hidden files are what programs
    /// leave behind.
    pub(super) async fn find(stores: &Stores, root: &str) -> Result<Option<Self>, EvalError> {
        let root = format!("{root}/");
        let (_, top) = stores.open(&root)?;
        let mut classes: BTreeMap<String, Vec<(String, Object)>> = BTreeMap::new();
        for object in stores.list(&root).await? {
            let (_, path) = stores.open(&object.url)?;
            let parts = path.prefix_match(&top).into_iter().flatten();
            let parts: Vec<String> = parts.map(|part| part.as_ref().to_owned()).collect();
            if let [class, .., name] = parts.as_slice()
                && is_picture(name)
            {
                let files = classes.entry(class.clone()).or_default();
                files.push((parts.join("/"), object));
            }
        }
        let names = classes.keys().cloned().collect();
        let files = classes
            .into_values()
            .enumerate()
            .flat_map(|(label, files)| {
                files
                    .into_iter()
                    .map(move |(key, object)| ClassFile { key, object, label })
            });
        let files: Vec<ClassFile> = files.collect();
        Ok((!files.is_empty()).then_some(Self { names, files }))
    }
}

fn is_picture(name: &str) -> bool {
    let extension = name
        .rsplit_once('.')
        .map(|(_, extension)| extension.to_lowercase());
    !name.starts_with('.') && extension.is_some_and(|end| PICTURES.contains(&end.as_str()))
}
