//! The streaming tar reader on arbitrary bytes: it ends, needs memory in proportion to the archive
//! whatever the headers claim, and gives samples that lie in the archive in its order.

#![no_main]

use bytes::Bytes;
use futures::executor::block_on;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use peak_alloc::PeakAlloc;
use twinspan_data::shard::Memory;
use twinspan_data::tar::{Sample, SampleReader};

/// Bytes of a header.
const BLOCK: usize = 512;
/// Bytes that reading may take for each byte of the archive: a name that is not UTF-8 grows
/// threefold, and is held as it is, as a whole and in its parts.
const BYTES_PER_BYTE: usize = 16;
/// Bytes that reading may take however small the archive is.
const LEAST_BYTES: usize = 64 << 10;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

fuzz_target!(|archive: &[u8]| {
    let archive = Bytes::copy_from_slice(archive);
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let (samples, end) = read(&archive, true);
    let taken = MEMORY.peak_usage() - before;
    assert!(
        taken <= LEAST_BYTES + BYTES_PER_BYTE * archive.len(),
        "reading {} bytes took {taken}",
        archive.len()
    );
    check(&archive, &samples);
    // Whoever passes samples over counts them as whoever reads them does.
    let (passed, end_of_passed) = read(&archive, false);
    assert!(keys(&samples).eq(keys(&passed)), "other samples");
    assert_eq!(end, end_of_passed, "another end");
});

/// All samples with or without their members, and how the archive ends, in words.
fn read(archive: &Bytes, wanted: bool) -> (Vec<Sample>, String) {
    let mut reader = SampleReader::new(Memory(archive.clone()));
    let mut samples = Vec::new();
    // Each sample has a header, so this is one call more than there can be samples.
    for index in 0..=archive.len() / BLOCK {
        assert_eq!(reader.index(), index as u64);
        match block_on(reader.next(|_| wanted)) {
            Ok(Some(sample)) => samples.push(sample),
            Ok(None) => {
                let end = reader.end().expect("an archive without samples left ended");
                let again = block_on(reader.next(|_| wanted));
                assert!(matches!(again, Ok(None)), "{again:?} after the end");
                return (samples, format!("{end:?}"));
            }
            Err(error) => return (samples, error.to_string()),
        }
    }
    panic!("more samples than headers");
}

/// Sees to it that samples are numbered, differ from their neighbours, and consist of different
/// pieces of the archive behind one another.
fn check(archive: &Bytes, samples: &[Sample]) {
    let mut free = 0;
    for (index, sample) in samples.iter().enumerate() {
        assert_eq!(sample.index, index as u64);
        assert!(!sample.members.is_empty(), "a sample without members");
        for (at, (extension, body)) in sample.members.iter().enumerate() {
            let others = &sample.members[..at];
            assert!(others.iter().all(|(other, _)| other != extension));
            // An empty slice may point anywhere.
            if !body.is_empty() {
                let start = (body.as_ptr() as usize).wrapping_sub(archive.as_ptr() as usize);
                assert!(start >= free + BLOCK, "no room for a header before a body");
                assert!(start.is_multiple_of(BLOCK));
                free = start + body.len();
                assert!(free <= archive.len(), "a body beyond the archive");
            }
        }
    }
    assert!(samples.windows(2).all(|pair| pair[0].key != pair[1].key));
}

fn keys(samples: &[Sample]) -> impl Iterator<Item = (&str, u64)> {
    samples
        .iter()
        .map(|sample| (sample.key.as_str(), sample.index))
}

// A changed header almost never has the right checksum, and the reader stops there: most changed
// archives are given it, so that the change gets to what comes after.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let size = fuzzer_mutate(data, size, max_size);
    if !seed.is_multiple_of(8) {
        seal(&mut data[..size]);
    }
    size
});

/// Gives headers the checksum that they should have, as far as ustar's sizes lead to them.
fn seal(archive: &mut [u8]) {
    let mut rest = archive;
    while let Some((block, behind)) = rest.split_first_chunk_mut::<BLOCK>() {
        if block.iter().any(|byte| *byte != 0) {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        let digits = block[124..136].iter().take_while(|byte| **byte != 0);
        let size = digits.fold(0_usize, |size, byte| size * 8 + usize::from(byte & 7));
        let Some(next) = behind.get_mut(size.next_multiple_of(BLOCK)..) else {
            return;
        };
        rest = next;
    }
}
