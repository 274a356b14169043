//! The captions of one picture of an evaluation set.

use crate::loader::CAPTION;
use crate::tar::Sample;

/// The member in which captions may stand as a list.
pub(super) const CAPTION_LIST: &str = "json";

/// The captions of a sample: the lines of its `.txt` (CLIP_benchmark's way), where that is no JSON
/// list of texts; without a `.txt`, its `.json` where that is such a list. None where they are not
/// UTF-8.
pub(super) fn captions(sample: &Sample) -> Vec<String> {
    let text = |extension| {
        let bytes = sample.member(&[extension])?;
        std::str::from_utf8(bytes).ok()
    };
    match text(CAPTION) {
        Some(lines) => list(lines).unwrap_or_else(|| not_blank(lines.lines())),
        None => text(CAPTION_LIST).and_then(list).unwrap_or_default(),
    }
}

fn list(text: &str) -> Option<Vec<String>> {
    let texts: Vec<String> = serde_json::from_str(text).ok()?;
    Some(not_blank(texts.iter().map(String::as_str)))
}

fn not_blank<'t>(texts: impl Iterator<Item = &'t str>) -> Vec<String> {
    let texts = texts.filter(|text| !text.trim().is_empty());
    texts.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(members: &[(&str, &[u8])]) -> Vec<String> {
        captions(&Sample {
            key: "a".to_owned(),
            index: 0,
            members: members
                .iter()
                .map(|(extension, body)| ((*extension).to_owned(), body.to_vec().into()))
                .collect(),
        })
    }

    #[test]
    fn a_picture_has_a_caption_for_each_line_or_entry_of_a_list() {
        assert_eq!(of(&[("txt", b"a cat")]), ["a cat"]);
        assert_eq!(
            of(&[("txt", b"a cat\n\nit sleeps\n")]),
            ["a cat", "it sleeps"]
        );
        assert_eq!(
            of(&[("txt", b"[\"a cat\", \"it\\nsleeps\"]")]),
            ["a cat", "it\nsleeps"]
        );
        assert_eq!(of(&[("json", b"[\"a cat\", \" \"]")]), ["a cat"]);
    }

    #[test]
    fn what_holds_no_text_is_no_caption() {
        assert_eq!(of(&[("txt", b"[sic] a cat")]), ["[sic] a cat"]);
        assert!(of(&[("txt", b"\xff")]).is_empty());
        assert!(of(&[("json", b"{\"width\": 3}")]).is_empty());
        assert!(of(&[]).is_empty());
    }
}
