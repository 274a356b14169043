//! One 512-byte header of a tar archive: ustar, GNU and PAX.

/// Bytes of a header, and what bodies are padded to.
pub(super) const BLOCK: u64 = 512;

/// What a header says of the member after it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Its name, unless an extension before it gives another.
    pub(super) name: Vec<u8>,
    /// Bytes of its body, unless an extension before it gives another number.
    pub(super) size: u64,
    /// What it is.
    pub(super) kind: Kind,
}

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file.
    File,
    /// The name of the member after the next header, GNU's way.
    LongName,
    /// Records that change the next header, POSIX's way.
    Extended,
    /// A folder, a link or anything else that is no sample's member.
    Other,
}

/// What a PAX extension says of the next member.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extension {
    pub(super) name: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
}

/// Reads a header; nothing for the block of zeros that ends an archive.
pub(super) fn header(block: &[u8]) -> Result<Option<Header>, &'static str> {
    let Some(block) = block.first_chunk::<{ BLOCK as usize }>() else {
        return Err("its header is shorter than 512 bytes");
    };
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    if number(&block[148..156]) != Some(checksum(block)) {
        return Err("its header's checksum is wrong");
    }
    let size = number(&block[124..136]).ok_or("its size is not a number")?;
    let kind = match block[156] {
        b'0' | b'7' | 0 => Kind::File,
        b'L' => Kind::LongName,
        b'x' => Kind::Extended,
        _ => Kind::Other,
    };
    let mut name = until_zero(&block[..100]).to_vec();
    let prefix = until_zero(&block[345..500]);
    // GNU's magic has a blank here and other fields in the prefix's place.
    if &block[257..263] == b"ustar\0" && !prefix.is_empty() {
        name = [prefix, b"/", &name].concat();
    }
    Ok(Some(Header { name, size, kind }))
}

/// Reads PAX records: `length key=value\n`.
pub(super) fn extension(mut records: &[u8]) -> Result<Extension, &'static str> {
    const BROKEN: &str = "its extended header is broken";
    let mut extension = Extension::default();
    while !records.is_empty() && records[0] != 0 {
        let blank = records
            .iter()
            .position(|byte| *byte == b' ')
            .ok_or(BROKEN)?;
        let length = decimal(&records[..blank]).ok_or(BROKEN)?;
        let length = usize::try_from(length).map_err(|_| BROKEN)?;
        let record = records.get(blank + 1..length).ok_or(BROKEN)?;
        let record = record.strip_suffix(b"\n").ok_or(BROKEN)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or(BROKEN)?;
        let value = &record[equals + 1..];
        match &record[..equals] {
            b"path" => extension.name = Some(value.to_vec()),
            b"size" => extension.size = Some(decimal(value).ok_or(BROKEN)?),
            _ => {}
        }
        records = &records[length..];
    }
    Ok(extension)
}

/// The part before the first zero.
pub(super) fn until_zero(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Octal digits between blanks and zeros, or GNU's base 256.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let first = u64::from(field[0] & 0x7f);
        return field[1..].iter().try_fold(first, |number, byte| {
            Some(number.checked_mul(256)? + u64::from(*byte))
        });
    }
    let text = until_zero(field).trim_ascii();
    text.iter().try_fold(0_u64, |number, byte| match byte {
        b'0'..=b'7' => Some(number.checked_mul(8)? + u64::from(byte - b'0')),
        _ => None,
    })
}

fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The sum of the header's bytes with blanks in the checksum's place.
fn checksum(block: &[u8; BLOCK as usize]) -> u64 {
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    let field: u64 = block[148..156].iter().map(|byte| u64::from(*byte)).sum();
    sum - field + 8 * u64::from(b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0"), Some(0));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\0\0\0\x01\x02"), Some(258));
        assert_eq!(
            number(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
            None
        );
        assert_eq!(number(b"12x4567\0"), None);
    }

    #[test]
    fn extensions_give_names_and_sizes() {
        let found = extension(b"16 path=a/b.jpg\n12 size=300\n13 mtime=1.5\n").expect("reads");
        assert_eq!(
            found,
            Extension {
                name: Some(b"a/b.jpg".to_vec()),
                size: Some(300)
            }
        );
        for broken in [
            &b"99 path=a\n"[..],
            b"path=a\n",
            b"0 path=a\n",
            b"10 path=abc",
        ] {
            assert!(extension(broken).is_err());
        }
    }
}
