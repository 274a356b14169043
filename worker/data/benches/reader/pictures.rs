//! Shards of pictures with the statistics of photographs: noise whose strength falls with its
//! frequency, encoded as img2dataset does.

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use twinspan_data::{Directory, Stores};
use twinspan_types::{Index, ShardEntry};

const SHARDS: u64 = 4;
const SAMPLES: u64 = 128;
/// img2dataset's default.
const QUALITY: u8 = 95;
const WORDS: [&str; 16] = [
    "a", "photo", "of", "the", "old", "harbour", "at", "sunset", "with", "two", "wooden", "boats",
    "and", "people", "walking", "home",
];

/// Shards on disk.
pub struct Shards {
    paths: Vec<PathBuf>,
    picture_bytes: u64,
}

impl Shards {
    /// Writes shards of square pictures.
    pub fn write(folder: &Path, side: u32) -> Result<Self, Box<dyn Error>> {
        let mut random = fastrand::Rng::with_seed(u64::from(side));
        let (mut paths, mut picture_bytes) = (Vec::new(), 0);
        for number in 0..SHARDS {
            let path = folder.join(format!("{side}-{number}.tar"));
            picture_bytes += write_shard(&path, side, &mut random)?;
            paths.push(path);
        }
        Ok(Self {
            paths,
            picture_bytes,
        })
    }

    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    pub fn mean_picture_bytes(&self) -> u64 {
        self.picture_bytes / SAMPLES / SHARDS
    }

    /// The shards' index where they lie.
    pub fn index(&self) -> Result<Arc<Index>, Box<dyn Error>> {
        let folder = self.paths[0].parent().unwrap_or(Path::new("/"));
        self.index_at(&format!("file://{}", folder.display()))
    }

    /// Copies the shards to a folder of an object store, and gives their index there.
    pub async fn copy_to(&self, stores: &Stores, url: &str) -> Result<Arc<Index>, Box<dyn Error>> {
        let folder = Directory::open(stores, url)?;
        for path in &self.paths {
            folder
                .write(&name(path), std::fs::read(path)?.into())
                .await?;
        }
        self.index_at(url)
    }

    fn index_at(&self, folder: &str) -> Result<Arc<Index>, Box<dyn Error>> {
        let mut shards = Vec::new();
        for path in &self.paths {
            shards.push(ShardEntry {
                url: format!("{folder}/{}", name(path)),
                samples: SAMPLES,
                bytes: std::fs::metadata(path)?.len(),
                etag: None,
            });
        }
        Ok(Arc::new(Index::of_one_source(shards)))
    }
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Writes one shard, and gives the bytes of its pictures.
fn write_shard(path: &Path, side: u32, random: &mut fastrand::Rng) -> Result<u64, Box<dyn Error>> {
    let mut archive = tar::Builder::new(std::fs::File::create(path)?);
    let mut picture_bytes = 0;
    for number in 0..SAMPLES {
        let mut jpeg = Vec::new();
        let mut encoder = Encoder::new(&mut jpeg, QUALITY);
        encoder.set_sampling_factor(SamplingFactor::R_4_2_0);
        let length = u16::try_from(side)?;
        encoder.encode(
            &picture(side as usize, random),
            length,
            length,
            ColorType::Rgb,
        )?;
        picture_bytes += jpeg.len() as u64;
        let caption: Vec<&str> = (0..12)
            .map(|_| WORDS[random.usize(..WORDS.len())])
            .collect();
        let mut append = |extension: &str, body: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_size(body.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, format!("{number:06}.{extension}"), body)
        };
        append("jpg", &jpeg)?;
        append("txt", caption.join(" ").as_bytes())?;
    }
    archive.into_inner()?.sync_all()?;
    Ok(picture_bytes)
}

/// Smooth noise of every octave, each weaker than the one twice as coarse; the octave of single
/// pixels is left out, as a lens does.
fn picture(side: usize, random: &mut fastrand::Rng) -> Vec<u8> {
    let mut planes = vec![[0.0_f32; 3]; side * side];
    let (mut cell, mut strength) = (side / 2, 90.0_f32);
    while cell >= 2 {
        add_octave(&mut planes, side, cell, strength, random);
        cell /= 2;
        strength *= 0.74;
    }
    let value = |v: f32| (v + 128.0).clamp(0.0, 255.0) as u8;
    planes.into_iter().flat_map(|rgb| rgb.map(value)).collect()
}

/// Random values at the corners of cells, interpolated within. The channels share most of theirs,
/// because the colours of a photograph vary less than its brightness.
fn add_octave(
    planes: &mut [[f32; 3]],
    side: usize,
    cell: usize,
    strength: f32,
    random: &mut fastrand::Rng,
) {
    let corners = side / cell + 2;
    let grid: Vec<[f32; 3]> = (0..corners * corners)
        .map(|_| {
            let brightness = random.f32() - 0.5;
            std::array::from_fn(|_| strength * (brightness + 0.3 * (random.f32() - 0.5)))
        })
        .collect();
    for (at, rgb) in planes.iter_mut().enumerate() {
        let (x, y) = (at % side, at / side);
        let (fx, fy) = (
            (x % cell) as f32 / cell as f32,
            (y % cell) as f32 / cell as f32,
        );
        let corner = y / cell * corners + x / cell;
        for (channel, value) in rgb.iter_mut().enumerate() {
            let at = |offset: usize| grid[corner + offset][channel];
            let upper = at(0) + fx * (at(1) - at(0));
            let lower = at(corners) + fx * (at(corners + 1) - at(corners));
            *value += upper + fy * (lower - upper);
        }
    }
}
