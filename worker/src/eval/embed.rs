//! Pictures and texts to unit vectors.

use super::EvalModel;
use twinspan_data::index::OnProgress;
use twinspan_data::vectors::{Kind, VectorWriter, VectorsError};
use twinspan_data::{EvalError, PassedOver, Pictures, Square};

/// Pictures or texts that are in memory at once.
const BLOCK: usize = 64;

/// Why vectors cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// The pictures cannot be read.
    #[error(transparent)]
    Read(#[from] EvalError),
    /// The vectors cannot be written.
    #[error(transparent)]
    Write(#[from] VectorsError),
}

/// What became of pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenPictures {
    /// Vectors that were written.
    pub images: u64,
    /// Pictures that could not be used.
    pub passed_over: Vec<PassedOver>,
}

/// Writes the unit embedding of every picture, with its key.
///
/// # Errors
/// When the pictures cannot be read or the vectors cannot be written.
pub async fn write_pictures(
    model: &EvalModel,
    pictures: &Pictures,
    writer: &mut VectorWriter,
    on_progress: OnProgress<'_>,
) -> Result<WrittenPictures, EmbedError> {
    let mut images = 0;
    let each = |key: String, embedding: &[f32]| {
        images += 1;
        Ok::<(), EmbedError>(writer.push(Kind::Image, &key, embedding)?)
    };
    let passed_over = embed_pictures(model, pictures, on_progress, each).await?;
    Ok(WrittenPictures {
        images,
        passed_over,
    })
}

/// Writes the unit embedding of every text, which is its own key.
///
/// # Errors
/// When the vectors cannot be written.
pub fn write_texts(
    model: &EvalModel,
    texts: &[String],
    writer: &mut VectorWriter,
    on_progress: OnProgress<'_>,
) -> Result<(), VectorsError> {
    let mut done = 0;
    for texts_b in texts.chunks(BLOCK) {
        let tokens_b: Vec<Vec<u32>> = texts_b
            .iter()
            .map(|text| model.tokenizer().encode(text))
            .collect();
        let rows_be = model.embed_texts(&tokens_b);
        for (text, embedding) in texts_b.iter().zip(rows_be.chunks(model.embed_dim())) {
            writer.push(Kind::Text, text, embedding)?;
        }
        done += texts_b.len() as u64;
        on_progress(done, texts.len() as u64);
    }
    Ok(())
}

/// Hands every picture's key and unit embedding [e] to `each`, in order; gives those that could not
/// be used.
pub(super) async fn embed_pictures<E: From<EvalError>>(
    model: &EvalModel,
    pictures: &Pictures,
    on_progress: OnProgress<'_>,
    mut each: impl FnMut(String, &[f32]) -> Result<(), E>,
) -> Result<Vec<PassedOver>, E> {
    let mut reader = pictures.reader(model.image_size());
    let (mut keys, mut pixels, mut passed_over) = (Vec::new(), Vec::new(), Vec::new());
    let (mut done, total) = (0, pictures.count());
    loop {
        let picture = reader.next().await?;
        let ended = picture.is_none();
        match picture {
            Some(Ok(Square {
                key,
                pixels: square,
            })) => {
                keys.push(key);
                pixels.extend(square);
            }
            Some(Err(one)) => passed_over.push(one),
            None => {}
        }
        if ended || keys.len() == BLOCK {
            let rows_be = model.embed_images(&pixels);
            for (key, embedding) in keys.drain(..).zip(rows_be.chunks(model.embed_dim())) {
                each(key, embedding)?;
                done += 1;
            }
            pixels.clear();
            on_progress(done + passed_over.len() as u64, total);
        }
        if ended {
            return Ok(passed_over);
        }
    }
}
