//! The curves of a run as one picture, `curves.svg`, which any browser opens.

use plotters::prelude::*;
use serde_json::Value;
use std::error::Error;
use twinspan_types::Evaluation;

type Points = Vec<(f64, f64)>;

const SIZE: (u32, u32) = (960, 640);
/// Points of one curve at most: more are not seen.
const MOST_POINTS: usize = 800;

/// One panel.
struct Panel {
    title: &'static str,
    curves: Vec<(String, Points)>,
}

/// What the lines of a run's metrics look like; none before its second step.
///
/// # Errors
/// The picture cannot be drawn, in the plotter's words.
pub fn draw(
    run: &str,
    steps: &[Value],
    evaluated: &[Evaluation],
) -> Result<Option<String>, String> {
    let panels = panels(steps, evaluated);
    if panels.is_empty() {
        return Ok(None);
    }
    let mut svg = String::new();
    paint(&mut svg, run, &panels).map_err(|error| error.to_string())?;
    Ok(Some(svg))
}

fn panels(steps: &[Value], evaluated: &[Evaluation]) -> Vec<Panel> {
    let of_steps = |title, name: &str| {
        let points = thinned(steps.iter().filter_map(|line| point(line, name)));
        let curves = vec![(name.to_owned(), points)];
        Panel { title, curves }
    };
    let mut panels = vec![
        of_steps("loss", "train/loss"),
        of_steps("samples a second", "train/samples_per_second"),
        of_steps("logit scale", "train/scale"),
        of_steps("learning rate", "train/lr"),
    ];
    panels.push(Panel {
        title: "evaluation",
        curves: evaluations(evaluated),
    });
    for panel in &mut panels {
        panel.curves.retain(|(_, points)| points.len() > 1);
    }
    panels.retain(|panel| !panel.curves.is_empty());
    panels
}

fn point(line: &Value, name: &str) -> Option<(f64, f64)> {
    let value = line[name].as_f64().filter(|value| value.is_finite())?;
    Some((line["step"].as_f64()?, value))
}

/// The first figure of every set.
fn evaluations(evaluated: &[Evaluation]) -> Vec<(String, Points)> {
    let is_first = |name: &&String| name.ends_with("top1") || name.ends_with("R@1");
    let mut names: Vec<&String> = evaluated
        .iter()
        .flat_map(|one| one.metrics.keys().filter(is_first))
        .collect();
    names.sort_unstable();
    names.dedup();
    let curve = |name: &String| {
        let points = evaluated.iter();
        let points = points.filter_map(|one| Some((one.step.0 as f64, *one.metrics.get(name)?)));
        (name.clone(), points.collect())
    };
    names.into_iter().map(curve).collect()
}

/// Every k-th point, and the last.
fn thinned(points: impl Iterator<Item = (f64, f64)>) -> Points {
    let points: Points = points.collect();
    let every = points.len().div_ceil(MOST_POINTS).max(1);
    let last = points.last().copied();
    let mut kept: Points = points.iter().step_by(every).copied().collect();
    kept.extend(last.filter(|last| kept.last() != Some(last)));
    kept
}

fn paint(svg: &mut String, run: &str, panels: &[Panel]) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let root = root.titled(run, ("sans-serif", 22))?;
    let columns = 2;
    let areas = root.split_evenly((panels.len().div_ceil(columns), columns));
    for (area, panel) in areas.iter().zip(panels) {
        let all = || panel.curves.iter().flat_map(|(_, points)| points);
        let (x, y) = (
            range(all().map(|point| point.0)),
            range(all().map(|point| point.1)),
        );
        let mut chart = ChartBuilder::on(area)
            .caption(panel.title, ("sans-serif", 15))
            .margin(10)
            .x_label_area_size(24)
            .y_label_area_size(56)
            .build_cartesian_2d(x.0..x.1, y.0..y.1)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_labels(6)
            .y_labels(5)
            .y_label_formatter(&|value| short(*value))
            .x_label_formatter(&|value| format!("{value:.0}"))
            .draw()?;
        for (number, (name, points)) in panel.curves.iter().enumerate() {
            let color = Palette99::pick(number).to_rgba();
            let line = LineSeries::new(points.iter().copied(), color.stroke_width(2));
            let series = chart.draw_series(line)?;
            if panel.curves.len() > 1 {
                let key = move |(x, y)| PathElement::new([(x, y), (x + 14, y)], color);
                series.label(name).legend(key);
            }
        }
        if panel.curves.len() > 1 {
            chart.configure_series_labels().border_style(BLACK).draw()?;
        }
    }
    root.present()?;
    Ok(())
}

/// From the least to the greatest value, with some room where they are one.
fn range(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let least = values.clone().fold(f64::INFINITY, f64::min);
    let most = values.fold(f64::NEG_INFINITY, f64::max);
    match most > least {
        true => (least, most),
        false => (least - 0.5, least + 0.5),
    }
}

/// Up to four digits that count.
fn short(value: f64) -> String {
    match value.abs() {
        size if size != 0.0 && size < 0.01 => format!("{value:.1e}"),
        size if size < 10.0 => format!("{value:.2}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use twinspan_types::Step;

    fn drawn(steps: u64) -> Result<Option<String>, String> {
        let line = |step: u64| {
            let x = step as f64;
            json!({"step": step, "train/loss": 5.0 / x, "train/scale": 14.0 + x,
                   "train/lr": 1e-3, "train/samples_per_second": 900.0})
        };
        let evaluation = |step: u64| Evaluation {
            step: Step(step),
            metrics: [("val/a-zeroshot-val-top1".to_owned(), step as f64 / 1e4)].into(),
        };
        let lines: Vec<_> = (1..=steps).map(line).collect();
        let evaluated: Vec<_> = (1..=steps / 10).map(|n| evaluation(n * 10)).collect();
        draw("a & b", &lines, &evaluated)
    }

    #[test]
    fn every_curve_of_a_run_is_drawn_and_stays_small() {
        let svg = drawn(20_000).expect("drawn").expect("some");
        for title in [
            "loss",
            "samples a second",
            "logit scale",
            "learning rate",
            "evaluation",
        ] {
            assert!(svg.contains(title), "{title}");
        }
        assert!(svg.contains("a &amp; b") && svg.ends_with("</svg>\n"));
        assert!(svg.len() < 400_000, "{} bytes", svg.len());
    }

    #[test]
    fn a_run_without_two_steps_has_no_picture() {
        assert_eq!(drawn(1), Ok(None));
    }
}
