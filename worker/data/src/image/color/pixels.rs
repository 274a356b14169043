//! Pillow's arithmetic on eight-bit RGB, rounding included: `ImageEnhance`, `convert("L")` and
//! `convert("HSV")` (src/libImaging/Blend.c and Convert.c).

/// `ImageEnhance.Brightness`: 0 is black, 1 the picture.
pub(super) fn brightness(rgb: &mut [u8], factor: f64) {
    away_from(0, rgb, factor);
}

/// `ImageEnhance.Contrast`: 0 is the mean grey, 1 the picture.
pub(super) fn contrast(rgb: &mut [u8], factor: f64) {
    let (pixels, _) = rgb.as_chunks::<3>();
    let sum: u64 = pixels.iter().map(|rgb| u64::from(luma(*rgb))).sum();
    let mean = sum as f64 / pixels.len().max(1) as f64;
    away_from((mean + 0.5) as u8, rgb, factor);
}

/// `ImageEnhance.Color`: 0 is grey, 1 the picture.
pub(super) fn saturation(rgb: &mut [u8], factor: f64) {
    for pixel in rgb.as_chunks_mut::<3>().0 {
        let grey = luma(*pixel);
        *pixel = pixel.map(|value| blend(grey, value, factor as f32));
    }
}

/// torchvision's `adjust_hue`: turns the colour circle by `turn`, from -0.5 to 0.5. A turn of 0 is
/// not the picture: the way through HSV rounds.
pub(super) fn hue(rgb: &mut [u8], turn: f64) {
    // Towards zero first, then around 256, as numpy casts.
    let turn = (turn * 255.0) as i32 as u8;
    for pixel in rgb.as_chunks_mut::<3>().0 {
        let [hue, saturation, value] = to_hsv(*pixel);
        *pixel = to_rgb([hue.wrapping_add(turn), saturation, value]);
    }
}

/// `Grayscale(3)`.
pub(super) fn grey(rgb: &mut [u8]) {
    for pixel in rgb.as_chunks_mut::<3>().0 {
        *pixel = [luma(*pixel); 3];
    }
}

/// ITU-R 601-2 luma.
fn luma(rgb: [u8; 3]) -> u8 {
    let [r, g, b] = rgb.map(u32::from);
    ((r * 19_595 + g * 38_470 + b * 7_471 + 0x8000) >> 16) as u8
}

/// `Image.blend`: cut to whole numbers, and to 0 and 255 where the factor leads beyond.
fn blend(from: u8, to: u8, factor: f32) -> u8 {
    let (from, to) = (f32::from(from), f32::from(to));
    (from + factor * (to - from)) as u8
}

/// Blends every value with one grey; 256 answers serve all.
fn away_from(grey: u8, rgb: &mut [u8], factor: f64) {
    let table: [u8; 256] = std::array::from_fn(|value| blend(grey, value as u8, factor as f32));
    for value in rgb {
        *value = table[usize::from(*value)];
    }
}

/// Hue, saturation and value; the mix of widths is Pillow's.
fn to_hsv(rgb: [u8; 3]) -> [u8; 3] {
    let [r, g, b] = rgb;
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    if most == least {
        return [0, 0, most];
    }
    let range = f32::from(most - least);
    let saturation = range / f32::from(most);
    let [rc, gc, bc] = rgb.map(|value| f32::from(most - value) / range);
    let sixths = if r == most {
        bc - gc
    } else if g == most {
        (2.0 + f64::from(rc) - f64::from(bc)) as f32
    } else {
        (4.0 + f64::from(gc) - f64::from(rc)) as f32
    };
    // Pillow's fmod(turned, 1.0) of what lies below 2.
    let turned = f64::from(sixths) / 6.0 + 1.0;
    let hue = if turned < 1.0 { turned } else { turned - 1.0 } as f32;
    let whole = |share: f32| (f64::from(share) * 255.0) as u8;
    [whole(hue), whole(saturation), most]
}

fn to_rgb([hue, saturation, value]: [u8; 3]) -> [u8; 3] {
    if saturation == 0 {
        return [value; 3];
    }
    let sixths = f64::from(hue) * 6.0 / 255.0;
    let sector = sixths as u8;
    let rest = (sixths - f64::from(sector)) as f32;
    let saturation = (f64::from(saturation) / 255.0) as f32;
    let share = |away: f64| (f64::from(value) * (1.0 - away) + 0.5) as u8;
    let p = share(f64::from(saturation));
    let q = share(f64::from(saturation * rest));
    let t = share(f64::from(saturation) * (1.0 - f64::from(rest)));
    match sector % 6 {
        0 => [value, t, p],
        1 => [q, value, p],
        2 => [p, value, t],
        3 => [p, q, value],
        4 => [t, p, value],
        _ => [value, p, q],
    }
}
