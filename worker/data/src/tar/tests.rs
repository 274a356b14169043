use super::*;
use crate::shard::Memory;
use futures::executor::block_on;
use proptest::prelude::*;

/// A ustar header and its padded body.
fn member(name: &[u8], kind: u8, body: &[u8]) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len().min(100)].copy_from_slice(&name[..name.len().min(100)]);
    block[124..136].copy_from_slice(format!("{:011o}\0", body.len()).as_bytes());
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    seal(&mut block);
    block.extend_from_slice(body);
    block.resize(block.len().next_multiple_of(512), 0);
    block
}

fn seal(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block[..512].iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let members = members
        .iter()
        .flat_map(|(name, body)| member(name.as_bytes(), b'0', body));
    members.chain(vec![0; 1024]).collect()
}

fn reader(bytes: Vec<u8>) -> SampleReader<Memory> {
    SampleReader::new(Memory(bytes.into()))
}

fn all(bytes: Vec<u8>) -> (Vec<Sample>, Result<Option<End>, TarError>) {
    let mut reader = reader(bytes);
    let mut samples = Vec::new();
    loop {
        match block_on(reader.next(|_| true)) {
            Ok(Some(sample)) => samples.push(sample),
            Ok(None) => return (samples, Ok(reader.end())),
            Err(error) => return (samples, Err(error)),
        }
    }
}

const PAIRS: [(&str, &[u8]); 6] = [
    ("a/0.jpg", b"picture 0"),
    ("a/0.txt", b"caption 0"),
    ("a/1.JPG", b"picture 1"),
    ("a/1.txt", &[7; 700]),
    ("a/2.seg.png", b"picture 2"),
    ("a/2.txt", b""),
];

#[test]
fn members_of_a_key_stand_together() {
    let (samples, end) = all(archive(&PAIRS));
    assert_eq!(end.expect("whole"), Some(End::Marked));
    let keys: Vec<_> = samples.iter().map(|sample| sample.key.as_str()).collect();
    assert_eq!(keys, ["a/0", "a/1", "a/2"]);
    assert_eq!(samples[1].index, 1);
    assert_eq!(
        samples[1].member(&["png", "jpg"]).expect("lower case"),
        b"picture 1".as_slice()
    );
    assert_eq!(samples[1].member(&["txt"]).expect("there").len(), 700);
    assert_eq!(
        samples[2].member(&["seg.png"]).expect("first dot"),
        b"picture 2".as_slice()
    );
    assert!(samples[2].member(&["txt"]).expect("there").is_empty());
}

#[test]
fn names_that_are_no_samples_are_passed_over() {
    let mut bytes = member(b"__meta__/x.json", b'0', b"{}");
    bytes.extend(member(b"folder/", b'5', b""));
    bytes.extend(member(b"link.jpg", b'2', b""));
    bytes.extend(member(b"README", b'0', b"no dot"));
    bytes.extend(member(b"a/._0.jpg", b'0', b"hidden"));
    bytes.extend(archive(&PAIRS));
    assert_eq!(all(bytes).0.len(), 3);
}

#[test]
fn long_names_are_read_in_both_ways() {
    let long = format!("{}/0.jpg", "folder".repeat(40));
    let key = long.trim_end_matches(".jpg").to_owned();
    let gnu = [
        member(b"././@LongLink", b'L', format!("{long}\0").as_bytes()),
        member(&long.as_bytes()[..100], b'0', b"picture"),
    ];
    let record = format!(" path={long}\n");
    let length = record.len() + 3;
    let pax = [
        member(
            b"PaxHeaders/0",
            b'x',
            format!("{length}{record}").as_bytes(),
        ),
        member(b"short.jpg", b'0', b"picture"),
    ];
    for bytes in [gnu.concat(), pax.concat()] {
        let (samples, end) = all(bytes);
        assert_eq!(end.expect("readable"), Some(End::Unmarked));
        assert_eq!(samples[0].key, key);
        assert_eq!(
            samples[0].members,
            [("jpg".to_owned(), Bytes::from_static(b"picture"))]
        );
    }
}

#[test]
fn a_prefix_and_a_base_256_size_are_read() {
    let mut block = member(b"0.jpg", b'0', b"picture");
    block[345..348].copy_from_slice(b"a/b");
    block[124..136].copy_from_slice(b"\x80\0\0\0\0\0\0\0\0\0\0\x07");
    seal(&mut block);
    let (samples, _) = all(block);
    assert_eq!(samples[0].key, "a/b/0");
    assert_eq!(samples[0].members[0].1, b"picture".as_slice());
}

#[test]
fn truncation_is_told_from_corruption() {
    let whole = archive(&PAIRS);
    // Within the body of a/1.txt, whose header is the fourth.
    let (samples, end) = all(whole[..512 * 7 + 100].to_vec());
    assert_eq!(samples.len(), 1);
    assert!(
        matches!(end, Err(TarError::Truncated { sample: 1, .. })),
        "{end:?}"
    );
    // Within the header of a/2.seg.png.
    let (samples, end) = all(whole[..512 * 9 + 100].to_vec());
    assert_eq!(samples.len(), 2);
    assert!(
        matches!(end, Err(TarError::Truncated { sample: 2, .. })),
        "{end:?}"
    );
    let mut damaged = whole;
    damaged[512 * 9 + 3] ^= 1;
    let (samples, end) = all(damaged);
    assert_eq!(samples.len(), 2);
    let Err(error) = end else {
        panic!("a damaged header was read")
    };
    assert_eq!(
        error.to_string(),
        "the archive is corrupt at byte 4608, in sample 2: its header's checksum is wrong"
    );
}

#[test]
fn samples_that_are_not_wanted_are_passed_over_unread() {
    let mut reader = reader(archive(&PAIRS));
    let first = block_on(reader.next(|_| false))
        .expect("reads")
        .expect("a sample");
    assert!(first.members.is_empty());
    let second = block_on(reader.next(|extension| extension == "txt")).expect("reads");
    assert_eq!(second.expect("a sample").members.len(), 1);
    assert_eq!(reader.index(), 2);
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        let _ = all(bytes);
    }

    #[test]
    fn mutated_archives_never_panic(
        changes in prop::collection::vec((0_usize..7168, any::<u8>()), 1..8),
        resealed in any::<bool>(),
        length in 0_usize..7168,
    ) {
        let mut bytes = archive(&PAIRS);
        bytes.splice(0..0, member(b"PaxHeaders/0", b'x', b"16 path=a/b.jpg\n12 size=300\n"));
        for (at, value) in changes {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        // A right checksum lets the damage through to what comes after it.
        if resealed {
            for block in bytes.chunks_exact_mut(512).filter(|block| &block[257..262] == b"ustar") {
                seal(block);
            }
        }
        let (samples, _) = all(bytes.clone());
        prop_assert!(samples.len() <= bytes.len() / 512);
        bytes.truncate(length);
        let _ = all(bytes);
    }

    #[test]
    fn any_truncation_loses_only_what_comes_after(length in 0_usize..6000) {
        let whole = archive(&PAIRS);
        let (complete, _) = all(whole.clone());
        let (samples, _) = all(whole[..length.min(whole.len())].to_vec());
        for (sample, of_whole) in samples.iter().zip(&complete) {
            prop_assert_eq!(&sample.key, &of_whole.key);
            for (cut, member) in sample.members.iter().zip(&of_whole.members) {
                prop_assert_eq!(cut, member);
            }
        }
    }
}
