//! The stub's objects: one bucket in memory.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::SystemTime;

/// How many names one page of a list holds: thousands in the real store, few
/// here, so that every test of a listing turns pages.
const PAGE: usize = 7;

/// One version of an object.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) bytes: Bytes,
    /// Rises with every write in the bucket.
    pub(super) generation: u64,
    pub(super) modified: SystemTime,
}

impl Object {
    pub(super) fn e_tag(&self) -> String {
        format!("\"{:032x}\"", self.generation)
    }
}

/// All objects and the uploads that are under way.
#[derive(Debug, Default)]
pub(super) struct Objects {
    objects: BTreeMap<String, Object>,
    /// The parts of each upload by their numbers.
    uploads: BTreeMap<String, BTreeMap<u32, Bytes>>,
    last_generation: u64,
}

/// What a request asks of a list.
#[derive(Debug, Default)]
pub(super) struct ListQuery {
    pub(super) prefix: String,
    pub(super) delimiter: Option<String>,
    /// Only names behind this one.
    pub(super) start_after: String,
    /// Only entries, names or folders, behind the last one of the page before.
    pub(super) token: String,
    pub(super) max_keys: Option<usize>,
}

/// One page of a list.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) objects: Vec<(String, Object)>,
    pub(super) prefixes: Vec<String>,
    /// The token of the next page, if there is one.
    pub(super) next: Option<String>,
}

impl Objects {
    pub(super) fn get(&self, name: &str) -> Option<&Object> {
        self.objects.get(name)
    }

    /// Writes if the generation that is there is `expected`, where 0 is
    /// nothing; gives what was written.
    pub(super) fn put(
        &mut self,
        name: &str,
        bytes: Bytes,
        expected: Option<u64>,
        now: SystemTime,
    ) -> Option<Object> {
        let there = self.objects.get(name).map_or(0, |object| object.generation);
        if expected.is_some_and(|expected| expected != there) {
            return None;
        }
        let object = Object {
            bytes,
            generation: self.next_generation(),
            modified: now,
        };
        self.objects.insert(name.to_owned(), object.clone());
        Some(object)
    }

    /// Whether there was something to delete.
    pub(super) fn delete(&mut self, name: &str) -> bool {
        self.objects.remove(name).is_some()
    }

    pub(super) fn begin_upload(&mut self) -> String {
        let id = format!("upload-{}", self.next_generation());
        self.uploads.insert(id.clone(), BTreeMap::new());
        id
    }

    /// `None` if there is no such upload.
    pub(super) fn put_part(&mut self, upload: &str, number: u32, bytes: Bytes) -> Option<()> {
        self.uploads.get_mut(upload)?.insert(number, bytes);
        Some(())
    }

    pub(super) fn complete(&mut self, upload: &str, name: &str, now: SystemTime) -> Option<Object> {
        let parts: Vec<Bytes> = self.uploads.remove(upload)?.into_values().collect();
        self.put(name, parts.concat().into(), None, now)
    }

    pub(super) fn abort(&mut self, upload: &str) -> bool {
        self.uploads.remove(upload).is_some()
    }

    pub(super) fn list(&self, query: &ListQuery) -> Page {
        let limit = query.max_keys.unwrap_or(PAGE).min(PAGE);
        let mut page = Page::default();
        let mut last = String::new();
        let named = self.objects.range(query.prefix.clone()..);
        for (name, object) in named.take_while(|(name, _)| name.starts_with(&query.prefix)) {
            let folder = query.folder_of(name);
            let entry = folder.as_ref().unwrap_or(name);
            if *name <= query.start_after || *entry <= query.token || *entry == last {
                continue;
            }
            if page.objects.len() + page.prefixes.len() == limit {
                page.next = Some(last);
                break;
            }
            last.clone_from(entry);
            match folder {
                Some(folder) => page.prefixes.push(folder),
                None => page.objects.push((name.clone(), object.clone())),
            }
        }
        page
    }

    const fn next_generation(&mut self) -> u64 {
        self.last_generation += 1;
        self.last_generation
    }
}

impl ListQuery {
    /// The folder below the prefix that stands for this name, if one does.
    fn folder_of(&self, name: &str) -> Option<String> {
        let delimiter = self.delimiter.as_deref()?;
        let rest = &name[self.prefix.len()..];
        let end = rest.find(delimiter)? + delimiter.len();
        Some(name[..self.prefix.len() + end].to_owned())
    }
}
