//! The files of an evaluation set that hold one thing a line.

use super::{EvalError, PLACE};
use crate::store::Stores;

/// What a file of class names is for.
pub(super) const NAMES_ROLE: &str =
    "it names the classes, one a line (a set without it has a folder of pictures for each class)";
/// What a file of templates is for.
pub(super) const TEMPLATES_ROLE: &str = "it holds the prompt templates, one a line";

/// The class names of a file.
pub(super) async fn class_names(stores: &Stores, url: &str) -> Result<Vec<String>, EvalError> {
    required(
        url,
        NAMES_ROLE,
        lines(stores, url, NAMES_ROLE, |_| None).await?,
    )
}

/// The prompt templates of a file.
pub(super) async fn templates(stores: &Stores, url: &str) -> Result<Vec<String>, EvalError> {
    let found = templates_if_present(stores, url).await?;
    required(url, TEMPLATES_ROLE, found)
}

/// As [`class_names`]; none where the file does not exist.
pub(super) async fn class_names_if_present(
    stores: &Stores,
    url: &str,
) -> Result<Option<Vec<String>>, EvalError> {
    lines(stores, url, NAMES_ROLE, |_| None).await
}

/// As [`templates`]; none where the file does not exist.
pub(super) async fn templates_if_present(
    stores: &Stores,
    url: &str,
) -> Result<Option<Vec<String>>, EvalError> {
    lines(stores, url, TEMPLATES_ROLE, lacks_place).await
}

/// What is wrong with a template that has no place for the class name.
#[must_use]
fn lacks_place(template: &str) -> Option<String> {
    let hint = match template.contains("{}") {
        true => format!(": write {PLACE} in the place of {{}}"),
        false => String::new(),
    };
    (!template.contains(PLACE)).then(|| {
        format!("the template {template:?} does not hold {PLACE} for the class name{hint}")
    })
}

fn required(
    url: &str,
    role: &'static str,
    lines: Option<Vec<String>>,
) -> Result<Vec<String>, EvalError> {
    lines.ok_or_else(|| EvalError::MissingFile {
        url: url.to_owned(),
        role,
    })
}

/// The lines of a file, each checked; blank lines are allowed at its end alone, because a line's
/// place is a class's number.
async fn lines(
    stores: &Stores,
    url: &str,
    role: &'static str,
    fault: impl Fn(&str) -> Option<String>,
) -> Result<Option<Vec<String>>, EvalError> {
    let Some(bytes) = stores.read_if_present(url).await? else {
        return Ok(None);
    };
    let bad_line = |line, reason| EvalError::BadLine {
        url: url.to_owned(),
        line,
        reason,
    };
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.trim_end().lines()) {
        let blank = line
            .trim()
            .is_empty()
            .then(|| "the line is empty".to_owned());
        if let Some(reason) = blank.or_else(|| fault(line)) {
            return Err(bad_line(number, reason));
        }
        lines.push(line.trim().to_owned());
    }
    match lines.is_empty() {
        true => Err(bad_line(1, format!("the file is empty; {role}"))),
        false => Ok(Some(lines)),
    }
}
