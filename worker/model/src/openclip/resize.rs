//! Positional embeddings of another picture size or another context length, resized as open_clip
//! does when it loads weights.

use std::ops::Range;

/// How a parameter of another length is brought to the model's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resize {
    /// One row for the class token (or the mean), then a square grid of rows: bicubic,
    /// antialiased.
    Grid,
    /// One row for each place in a text: linear.
    Line,
}

impl Resize {
    /// How the parameter of that name is resized; none for one that never is.
    pub(super) fn of(name: &str) -> Option<Self> {
        match name {
            "visual.positional_embedding" | "visual.attnpool.positional_embedding" => {
                Some(Self::Grid)
            }
            "positional_embedding" => Some(Self::Line),
            _ => None,
        }
    }

    /// Whether `from` rows can become `to` rows.
    pub(super) fn fits(self, from: usize, to: usize) -> bool {
        match self {
            Self::Grid => [from, to].into_iter().all(|rows| side(rows).is_some()),
            Self::Line => from > 0 && to > 0,
        }
    }

    /// Rows `[from, width]` as rows `[to, width]`, which must fit.
    pub(super) fn apply(self, rows: &[f32], width: usize, to: usize) -> Vec<f32> {
        let from = rows.len() / width;
        match self {
            Self::Line => along(rows, width, &linear(from, to)),
            Self::Grid => {
                let (Some(old), Some(new)) = (side(from), side(to)) else {
                    unreachable!("the caller asked whether they fit");
                };
                let taps = bicubic(old, new);
                let (first, grid) = rows.split_at(width);
                // Rows of pictures are lines of `old * width` numbers; then each line's columns.
                let tall = along(grid, old * width, &taps);
                let wide = tall
                    .chunks(old * width)
                    .flat_map(|line| along(line, width, &taps));
                first.iter().copied().chain(wide).collect()
            }
        }
    }
}

/// Side of the square grid behind the first of so many rows.
fn side(rows: usize) -> Option<usize> {
    let places = rows.checked_sub(1)?;
    let side = places.isqrt();
    (side > 0 && side * side == places).then_some(side)
}

/// The old places that one new place is made of, and their weights.
struct Taps {
    places: Range<usize>,
    weights: Vec<f32>,
}

/// Sums of old lines of `width` numbers, one for each new place.
fn along(lines: &[f32], width: usize, taps: &[Taps]) -> Vec<f32> {
    let mut out = vec![0.0; taps.len() * width];
    for (out, taps) in out.chunks_mut(width).zip(taps) {
        for (place, weight) in taps.places.clone().zip(&taps.weights) {
            let line = &lines[place * width..][..width];
            out.iter_mut()
                .zip(line)
                .for_each(|(out, value)| *out += weight * value);
        }
    }
    out
}

/// PyTorch's `interpolate(mode="bicubic", antialias=True, align_corners=False)` along one axis:
/// Keys' kernel with a = -1/2, stretched when the new axis is shorter.
fn bicubic(from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f32 / to as f32;
    let stretch = scale.max(1.0);
    let support = 2.0 * stretch;
    let tap = |place: usize| {
        let center = scale * (place as f32 + 0.5);
        // The conversion cuts towards zero, and a negative number becomes 0.
        let first = (center - support + 0.5) as usize;
        let last = ((center + support + 0.5) as usize).min(from);
        let raw = (first..last).map(|old| keys((old as f32 - center + 0.5) / stretch));
        let raw: Vec<f32> = raw.collect();
        let sum: f32 = raw.iter().sum();
        Taps {
            places: first..last,
            weights: raw.into_iter().map(|weight| weight / sum).collect(),
        }
    };
    (0..to).map(tap).collect()
}

/// Keys 1981, "Cubic convolution interpolation", with a = -1/2.
fn keys(x: f32) -> f32 {
    const A: f32 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// PyTorch's `interpolate(mode="linear", align_corners=False)`.
fn linear(from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f32 / to as f32;
    let tap = |place: usize| {
        let at = (scale * (place as f32 + 0.5) - 0.5).max(0.0);
        let first = (at as usize).min(from - 1);
        let share = at - first as f32;
        let last = (first + 1).min(from - 1);
        match last == first {
            true => Taps {
                places: first..first + 1,
                weights: vec![1.0],
            },
            false => Taps {
                places: first..last + 1,
                weights: vec![1.0 - share, share],
            },
        }
    };
    (0..to).map(tap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers that PyTorch 2.15's `interpolate` was given for what is expected below.
    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|i| (i * 37 % 101) as f32 / 10.0).collect()
    }

    fn close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 2e-5, "{found} for {expected}");
        }
    }

    fn grid(old: usize, new: usize) -> Vec<f32> {
        let class = [7.0, 8.0];
        let rows: Vec<f32> = class.into_iter().chain(numbers(old * old * 2)).collect();
        assert!(Resize::Grid.fits(old * old + 1, new * new + 1));
        let resized = Resize::Grid.apply(&rows, 2, new * new + 1);
        assert_eq!(resized[..2], class);
        resized[2..].to_vec()
    }

    #[test]
    fn a_grid_is_resized_as_pytorchs_antialiased_bicubic_does() {
        let smaller = [
            3.729565, 2.300577, 6.184713, 4.257807, 2.379863, 6.69072, 8.804851, 3.096338, 5.0,
            6.352765, 1.195149, 5.451716, 7.620138, 3.8921, 3.815287, 8.447724, 6.270436, 4.212713,
        ];
        close(&grid(4, 3), &smaller);
        let larger = [
            -0.839766, 3.568422, 3.723027, 2.04079, 8.285821, 0.513158, 2.195395, 6.227631, 3.525,
            4.7, 4.854606, 3.172368, 5.230557, 8.886842, 3.326974, 7.359211, 1.423389, 5.831579,
        ];
        close(&grid(2, 3), &larger);
    }

    #[test]
    fn a_line_is_resized_as_pytorchs_linear_does() {
        let rows = numbers(10);
        let shorter = [2.466666, 2.8, 4.7, 8.4, 6.933332, 3.9];
        close(&Resize::Line.apply(&rows, 2, 3), &shorter);
        let longer = [
            0.0, 3.7, 4.228571, 2.157143, 6.628571, 3.114286, 4.7, 8.4, 2.771428, 6.471428,
            5.171429, 4.542857, 9.4, 3.0,
        ];
        close(&Resize::Line.apply(&rows, 2, 7), &longer);
    }

    #[test]
    fn what_is_no_square_behind_its_first_row_is_not_resized() {
        assert!(!Resize::Grid.fits(12, 50));
        assert!(!Resize::Grid.fits(1, 50));
        assert!(Resize::Grid.fits(50, 197));
    }
}
