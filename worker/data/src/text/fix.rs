//! ftfy's `fix_text`, by plsfix, with what plsfix 0.1 leaves out.

/// Characters that nothing in ftfy looks at: one that a text lacks can stand in for `&`.
const NEUTRAL: [char; 6] = ['~', '^', '|', '\\', '`', '@'];

/// A text with mojibake, odd widths, ligatures, curly quotes and control characters mended.
pub(super) fn fix(text: &str) -> String {
    let text = without_terminal_escapes(text);
    // From the first line with a tag on, the text is HTML, and its references are left alone.
    let first_tag = text.find('<');
    let line = first_tag
        .and_then(|at| text[..at].rfind('\n'))
        .map_or(0, |at| at + 1);
    let (plain, html) = text.split_at(first_tag.map_or(text.len(), |_| line));
    let neutral = NEUTRAL.into_iter().find(|letter| !html.contains(*letter));
    match neutral.filter(|_| html.contains('&')) {
        Some(neutral) => {
            let hidden = html.replace('&', neutral.encode_utf8(&mut [0; 4]));
            let fixed = plsfix::fix_text(&hidden, None);
            plsfix::fix_text(plain, None) + &fixed.replace(neutral, "&")
        }
        None => plsfix::fix_text(&text, None),
    }
}

/// Without `ESC [ 31 m` and its like.
fn without_terminal_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\x1b[") {
        out.push_str(&rest[..at]);
        let behind = &rest[at + 2..];
        let end = behind.find(|letter: char| !letter.is_ascii_digit() && letter != ';');
        match end.filter(|end| behind.as_bytes()[*end].is_ascii_alphabetic()) {
            Some(end) => rest = &behind[end + 1..],
            None => {
                out.push_str("\x1b[");
                rest = behind;
            }
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_escapes_go_whole() {
        let text = "a\x1b[1;31mb\x1b[0mc\x1b[\x1b[9";
        assert_eq!(without_terminal_escapes(text), "abc\x1b[\x1b[9");
    }

    #[test]
    fn references_in_html_are_left_to_what_follows() {
        assert_eq!(fix("&EACUTE;"), "É");
        assert_eq!(
            fix("&EACUTE;\n<b>&EACUTE;</b> ~\n&EACUTE;"),
            "É\n<b>&EACUTE;</b> ~\n&EACUTE;"
        );
        assert_eq!(fix("<i>Caf\u{c3}\u{a9} &amp; bar"), "<i>Café &amp; bar");
    }
}
