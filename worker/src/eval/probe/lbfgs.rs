//! L-BFGS (Nocedal and Wright 2006, algorithm 7.4): the lowest point of a smooth function. Our own,
//! because `linfa-logistic` and `argmin` bring some thirty crates and one thread for these lines.

use std::collections::VecDeque;

/// Steps whose curvature is remembered.
const MEMORY: usize = 10;
/// Points that one line search looks at.
const LINE_POINTS: usize = 40;
/// Share of the fall that the slope promises which a step must bring.
const FALL: f64 = 1e-4;
/// Share of the slope that may be left after a step.
const FLATTER: f64 = 0.9;
/// What a value may differ by from rounding alone, as a share of it.
const ROUNDING: f64 = 1e-9;

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stop {
    /// The largest slope along any coordinate of a point that is low enough.
    pub(super) slope: f64,
    /// Steps at most.
    pub(super) iterations: u64,
}

/// The lowest point that was found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lowest {
    pub(super) at: Vec<f64>,
    pub(super) iterations: u64,
    /// The largest slope along any coordinate there.
    pub(super) slope: f64,
}

/// A point with the function's value and gradient there.
struct Point {
    at: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
}

/// A step that was taken: how far, how the gradient changed, and 1 over their product.
struct Taken {
    moved: Vec<f64>,
    bent: Vec<f64>,
    scale: f64,
}

/// Goes down from `start` until it is flat, the steps are used up, or rounding hides any fall that is
/// left. `function` gives value and gradient at a point; `each` hears of every step.
pub(super) fn minimise(
    mut function: impl FnMut(&[f64]) -> (f64, Vec<f64>),
    start: Vec<f64>,
    stop: Stop,
    each: &dyn Fn(u64),
) -> Lowest {
    let mut look = |at: Vec<f64>| {
        let (value, gradient) = function(&at);
        Point {
            at,
            value,
            gradient,
        }
    };
    let mut here = look(start);
    let mut taken = VecDeque::new();
    let mut iterations = 0;
    while largest(&here.gradient) > stop.slope && iterations < stop.iterations {
        let direction = direction(&here.gradient, &taken);
        let first = match taken.is_empty() {
            true => 1.0 / dot(&here.gradient, &here.gradient).sqrt(),
            false => 1.0,
        };
        let Some(next) = along(&here, &direction, first, &mut look) else {
            break;
        };
        remember(&mut taken, &here, &next);
        here = next;
        iterations += 1;
        each(iterations);
    }
    Lowest {
        iterations,
        slope: largest(&here.gradient),
        at: here.at,
    }
}

/// Downhill, with what earlier steps say of the curvature (the two-loop recursion).
fn direction(gradient: &[f64], taken: &VecDeque<Taken>) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|slope| -slope).collect();
    let mut weights = Vec::with_capacity(taken.len());
    for Taken { moved, bent, scale } in taken.iter().rev() {
        let weight = scale * dot(moved, &direction);
        add(&mut direction, -weight, bent);
        weights.push(weight);
    }
    if let Some(Taken { bent, scale, .. }) = taken.back() {
        let length = 1.0 / (scale * dot(bent, bent));
        direction.iter_mut().for_each(|value| *value *= length);
    }
    for (Taken { moved, bent, scale }, weight) in taken.iter().zip(weights.iter().rev()) {
        let back = scale * dot(bent, &direction);
        add(&mut direction, weight - back, moved);
    }
    direction
}

/// A point on the line that fulfils the weak conditions of Wolfe, by doubling and halving (Lewis and
/// Overton 2013, algorithm 2.6); none where rounding hides it.
fn along(
    here: &Point,
    direction: &[f64],
    first: f64,
    look: &mut impl FnMut(Vec<f64>) -> Point,
) -> Option<Point> {
    let slope = dot(&here.gradient, direction);
    let (mut low, mut high, mut length) = (0.0, f64::INFINITY, first);
    for _ in 0..LINE_POINTS {
        let mut at = here.at.clone();
        add(&mut at, length, direction);
        let next = look(at);
        let bound = here.value + FALL * length * slope + ROUNDING * here.value.abs();
        // A value that is not a number is too far out as well.
        if next.value.is_nan() || next.value > bound {
            high = length;
        } else if dot(&next.gradient, direction) < FLATTER * slope {
            low = length;
        } else {
            return Some(next);
        }
        length = match high.is_finite() {
            true => (low + high) / 2.0,
            false => 2.0 * low,
        };
    }
    None
}

fn remember(taken: &mut VecDeque<Taken>, here: &Point, next: &Point) {
    let between = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect();
    let moved: Vec<f64> = between(&next.at, &here.at);
    let bent: Vec<f64> = between(&next.gradient, &here.gradient);
    let product = dot(&moved, &bent);
    if product > 0.0 {
        if taken.len() == MEMORY {
            taken.pop_front();
        }
        let scale = 1.0 / product;
        taken.push_back(Taken { moved, bent, scale });
    }
}

fn largest(gradient: &[f64]) -> f64 {
    gradient
        .iter()
        .fold(0.0, |most, slope| slope.abs().max(most))
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(to: &mut [f64], times: f64, what: &[f64]) {
    to.iter_mut()
        .zip(what)
        .for_each(|(to, what)| *to += times * what);
}

#[cfg(test)]
mod tests {
    use super::*;

    const STOP: Stop = Stop {
        slope: 1e-8,
        iterations: 200,
    };

    /// Rosenbrock's valley: its floor bends, and its lowest point is (1, 1).
    fn valley(at: &[f64]) -> (f64, Vec<f64>) {
        let (x, y) = (at[0], at[1]);
        let off = y - x * x;
        let value = (1.0 - x).powi(2) + 100.0 * off * off;
        (value, vec![-2.0 * (1.0 - x) - 400.0 * x * off, 200.0 * off])
    }

    #[test]
    fn it_follows_a_bent_valley_to_its_end() {
        let lowest = minimise(valley, vec![-1.2, 1.0], STOP, &|_| {});
        assert!(lowest.slope <= 1e-8 && lowest.iterations < 60, "{lowest:?}");
        assert!(lowest.at.iter().all(|value| (value - 1.0).abs() < 1e-6));
    }

    #[test]
    fn it_stays_where_it_is_flat_and_stops_when_its_steps_are_used_up() {
        let flat = minimise(valley, vec![1.0, 1.0], STOP, &|_| {});
        assert_eq!((flat.iterations, flat.slope), (0, 0.0));
        let few = Stop {
            iterations: 3,
            ..STOP
        };
        let lowest = minimise(valley, vec![-1.2, 1.0], few, &|_| {});
        assert_eq!(lowest.iterations, 3);
    }
}
