//! Character references as Python's `html.unescape` reads them, which is HTML 5's rule for text:
//! some names count without their semicolon, and the longest known beginning of a name counts.

use html_escape::NAMED_ENTITIES;

/// Characters of a name that are looked at.
const LONGEST_NAME: usize = 32;
/// What 0x80 to 0x9f mean: the characters of Windows-1252, where it has one.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}', '•', '–', '—', '˜', '™', 'š', '›',
    'œ', '\u{9d}', 'ž', 'Ÿ',
];
/// Names that need no semicolon, in order.
const WITHOUT_SEMICOLON: [&str; 106] = [
    "AElig", "AMP", "Aacute", "Acirc", "Agrave", "Aring", "Atilde", "Auml", "COPY", "Ccedil",
    "ETH", "Eacute", "Ecirc", "Egrave", "Euml", "GT", "Iacute", "Icirc", "Igrave", "Iuml", "LT",
    "Ntilde", "Oacute", "Ocirc", "Ograve", "Oslash", "Otilde", "Ouml", "QUOT", "REG", "THORN",
    "Uacute", "Ucirc", "Ugrave", "Uuml", "Yacute", "aacute", "acirc", "acute", "aelig", "agrave",
    "amp", "aring", "atilde", "auml", "brvbar", "ccedil", "cedil", "cent", "copy", "curren", "deg",
    "divide", "eacute", "ecirc", "egrave", "eth", "euml", "frac12", "frac14", "frac34", "gt",
    "iacute", "icirc", "iexcl", "igrave", "iquest", "iuml", "laquo", "lt", "macr", "micro",
    "middot", "nbsp", "not", "ntilde", "oacute", "ocirc", "ograve", "ordf", "ordm", "oslash",
    "otilde", "ouml", "para", "plusmn", "pound", "quot", "raquo", "reg", "sect", "shy", "sup1",
    "sup2", "sup3", "szlig", "thorn", "times", "uacute", "ucirc", "ugrave", "uml", "uuml",
    "yacute", "yen", "yuml",
];

/// Names of two characters, by the second one, which the table of names leaves out.
const SECOND: [(char, &str); 8] = [
    ('j', "fjlig"),
    ('\u{331}', "race"),
    ('\u{333}', "acE"),
    (
        '\u{338}',
        "NotEqualTilde NotGreaterFullEqual NotGreaterGreater NotGreaterSlantEqual \
         NotHumpDownHump NotHumpEqual NotLeftTriangleBar NotLessLess NotLessSlantEqual \
         NotNestedGreaterGreater NotNestedLessLess NotPrecedesEqual NotRightTriangleBar \
         NotSquareSubset NotSquareSuperset NotSucceedsEqual NotSucceedsTilde nGg nGtv nLl \
         nLtv napE napid nbump nbumpe ncongdot nedot nesim ngE ngeqq ngeqslant nges nlE \
         nleqq nleqslant nles notinE notindot npart npre npreceq nrarrc nrarrw nsce nsubE \
         nsubseteqq nsucceq nsupE nsupseteqq",
    ),
    ('\u{200a}', "ThickSpace"),
    (
        '\u{20d2}',
        "NotSubset NotSuperset nGt nLt nang nsubset nsupset nvap nvge nvgt nvle nvlt \
         nvltrie nvrtrie nvsim vnsub vnsup",
    ),
    ('\u{20e5}', "bne bnequiv nparsl"),
    (
        '\u{fe00}',
        "caps cups gesl gvertneqq gvnE lates lesg lvertneqq lvnE smtes sqcaps sqcups \
         varsubsetneq varsubsetneqq varsupsetneq varsupsetneqq vsubnE vsubne vsupnE vsupne",
    ),
];

/// A text with its character references replaced; what is none stays.
pub(super) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let length = match rest.strip_prefix('#') {
            Some(number) => 1 + push_number(number, &mut out),
            None => push_name(rest, &mut out),
        };
        rest = &rest[length..];
    }
    out + rest
}

/// Replaces what stands behind `&#`; gives how many bytes that was.
fn push_number(text: &str, out: &mut String) -> usize {
    let (marker, radix) = match text.starts_with(['x', 'X']) {
        true => (1, 16),
        false => (0, 10),
    };
    let digits = &text[marker..];
    let is_digit = |letter: char| letter.is_digit(radix);
    let digits = &digits[..digits
        .find(|letter| !is_digit(letter))
        .unwrap_or(digits.len())];
    if digits.is_empty() {
        out.push_str("&#");
        return 0;
    }
    // What does not fit is beyond the last character, too.
    let number = u32::from_str_radix(digits, radix).unwrap_or(u32::MAX);
    out.extend(character(number));
    let length = marker + digits.len();
    length + usize::from(text[length..].starts_with(';'))
}

/// What a number stands for, if anything.
fn character(number: u32) -> Option<char> {
    let is_none = match number {
        0x01..=0x08 | 0x0b | 0x0e..=0x1f | 0x7f | 0xfdd0..=0xfdef => true,
        number => number & 0xfffe == 0xfffe && number <= 0x0010_ffff,
    };
    match number {
        _ if is_none => None,
        0 => Some(char::REPLACEMENT_CHARACTER),
        0x80..=0x9f => Some(WINDOWS_1252[number as usize - 0x80]),
        number => Some(char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER)),
    }
}

/// Replaces the name that stands behind `&`; gives how many bytes that was.
fn push_name(text: &str, out: &mut String) -> usize {
    let ends = |letter: char| "\t\n\u{c} <&#;".contains(letter);
    let letters = text.char_indices().take(LONGEST_NAME);
    let letters = letters.take_while(|(_, letter)| !ends(*letter));
    let length = letters
        .last()
        .map_or(0, |(at, letter)| at + letter.len_utf8());
    let name = &text[..length];
    if text[length..].starts_with(';')
        && let Some(meaning) = named(name)
    {
        out.push_str(meaning);
        out.extend(second(name));
        return length + 1;
    }
    let beginnings = (2..=length).rev().filter_map(|end| name.get(..end));
    let known = beginnings
        .into_iter()
        .find(|name| WITHOUT_SEMICOLON.binary_search(name).is_ok());
    match known.and_then(|known| Some((known, named(known)?))) {
        Some((known, meaning)) => {
            out.push_str(meaning);
            known.len()
        }
        None => {
            out.push('&');
            0
        }
    }
}

fn named(name: &str) -> Option<&'static str> {
    let found = NAMED_ENTITIES.binary_search_by_key(&name.as_bytes(), |(name, _)| name);
    found.ok().map(|at| NAMED_ENTITIES[at].1)
}

fn second(name: &str) -> Option<char> {
    let holds = |names: &str| names.split(' ').any(|other| other == name);
    let found = SECOND.iter().find(|(_, names)| holds(names));
    found.map(|(letter, _)| *letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_as_python_reads_them() {
        for (text, meaning) in [
            ("&lt;&LT;&Eacute;&fjlig;&bne;", "<<Éfj=\u{20e5}"),
            (
                "&copy2024 &notit; &not &ampere &timesbar; &times",
                "©2024 ¬it; ¬ &ere ⨱ ×",
            ),
            ("&#39;&#x27;&#X27;&#39 &#x1F600z", "'''' 😀z"),
            (
                "&#0;&#xD800;&#1114112;&#99999999999;",
                "\u{fffd}\u{fffd}\u{fffd}\u{fffd}",
            ),
            (
                "&#1;&#11;&#127;&#xFFFE;&#x10ffff;|&#128;&#150;&#10;",
                "|€–\n",
            ),
            (
                "&;&&#;&#x;&# & &nope; &é &amp;lt;",
                "&;&&#;&#x;&# & &nope; &é &lt;",
            ),
        ] {
            assert_eq!(unescape(text), meaning, "{text}");
        }
    }

    #[test]
    fn every_name_that_needs_no_semicolon_has_a_meaning() {
        assert!(WITHOUT_SEMICOLON.is_sorted());
        assert!(WITHOUT_SEMICOLON.iter().all(|name| named(name).is_some()));
    }
}
