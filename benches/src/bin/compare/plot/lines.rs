//! A line chart: one line for each contestant, its name at its end.

use std::fmt::Write;

use super::{FAINT, INK, OURS, WIDTH, frame, text};

const HEIGHT: f64 = 340.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 50.0;
const LEFT: f64 = 72.0;
/// Space for names at the ends of the lines.
const RIGHT: f64 = 150.0;
/// How far names must be apart.
const LINE: f64 = 17.0;

/// What is on an axis.
pub(crate) struct Axis<'a> {
    pub(crate) title: &'a str,
    pub(crate) figure: fn(f64) -> String,
}

/// What to draw.
pub(crate) struct Lines<'a> {
    pub(crate) title: &'a str,
    pub(crate) x: Axis<'a>,
    pub(crate) y: Axis<'a>,
    /// The values of x have the same distance from each other, whatever they are.
    pub(crate) evenly: bool,
    pub(crate) series: Vec<Series>,
}

/// One line.
pub(crate) struct Series {
    pub(crate) title: String,
    /// By x.
    pub(crate) points: Vec<(f64, f64)>,
    pub(crate) role: Role,
}

/// Who a line is about; it has the same color in all charts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The least that is possible.
    Base,
    /// Another library.
    Other,
    /// The one to look at; to be the last, so that it lies on top.
    Ours,
}

impl Role {
    fn color(self) -> &'static str {
        match self {
            Self::Base => "#57606a",
            Self::Other => "#bc4c00",
            Self::Ours => OURS,
        }
    }
}

/// The chart.
pub(crate) fn lines(lines: &Lines<'_>) -> String {
    let plane = Plane::of(lines);
    let mut content = plane.grid(lines);
    let mut ends = Vec::new();
    for series in &lines.series {
        let color = series.role.color();
        let width = if series.role == Role::Ours { 3 } else { 2 };
        let points: Vec<_> = series.points.iter().map(|&(x, y)| (plane.x(x), plane.y(y))).collect();
        let path: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            content,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"{width}\"/>",
            path.join(" ")
        );
        for (x, y) in &points {
            let _ = writeln!(content, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{color}\"/>");
        }
        if let Some(&(x, y)) = points.last() {
            ends.push((x, y, color, series.title.as_str()));
        }
    }
    content += &names(ends);
    frame(lines.title, HEIGHT, &content)
}

/// The names, moved apart where their lines end close to each other.
fn names(mut ends: Vec<(f64, f64, &str, &str)>) -> String {
    ends.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut below = f64::MAX;
    let mut content = String::new();
    for (x, y, color, title) in ends {
        let y = y.min(below - LINE);
        below = y;
        content += &text(x + 10.0, y + 4.0, "start", color, title);
    }
    content
}

/// From values to places.
struct Plane {
    xs: Vec<f64>,
    evenly: bool,
    y_step: f64,
    y_top: f64,
}

impl Plane {
    fn of(lines: &Lines<'_>) -> Self {
        let points = || lines.series.iter().flat_map(|series| &series.points);
        let mut xs: Vec<f64> = points().map(|point| point.0).collect();
        xs.sort_by(f64::total_cmp);
        xs.dedup();
        let highest = points().map(|point| point.1).fold(f64::MIN_POSITIVE, f64::max);
        let y_step = step(highest / 4.0);
        Self { xs, evenly: lines.evenly, y_step, y_top: (highest / y_step).ceil() * y_step }
    }

    fn x(&self, x: f64) -> f64 {
        let last = self.xs.last().copied().unwrap_or(1.0);
        let share = if self.evenly {
            let index = self.xs.iter().position(|found| *found == x).unwrap_or_default();
            index as f64 / (self.xs.len().max(2) - 1) as f64
        } else {
            x / last
        };
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, y: f64) -> f64 {
        HEIGHT - BOTTOM - y / self.y_top * (HEIGHT - TOP - BOTTOM)
    }

    fn grid(&self, lines: &Lines<'_>) -> String {
        let (left, right) = (LEFT, WIDTH - RIGHT);
        let mut content = text(16.0, TOP - 14.0, "start", INK, lines.y.title);
        for index in 0..=(self.y_top / self.y_step).round() as usize {
            let value = index as f64 * self.y_step;
            let y = self.y(value);
            let _ = writeln!(
                content,
                "<line x1=\"{left}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"{FAINT}\"/>"
            );
            content += &text(left - 8.0, y + 4.0, "end", INK, &(lines.y.figure)(value));
        }
        let mut free_from = f64::MIN;
        for &value in &self.xs {
            let x = self.x(value);
            // Not all small values have space for their results.
            if x >= free_from {
                content += &text(x, HEIGHT - BOTTOM + 20.0, "middle", INK, &(lines.x.figure)(value));
                free_from = x + 44.0;
            }
        }
        let middle = (left + right) / 2.0;
        content + &text(middle, HEIGHT - 12.0, "middle", INK, lines.x.title)
    }
}

/// The next larger of 1, 2 and 5 times a power of ten.
fn step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= least * 0.999);
    factor.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round() {
        assert_eq!([0.3, 3.0, 12.0, 20.0, 60.0].map(step), [0.5, 5.0, 20.0, 20.0, 100.0]);
    }

    #[test]
    fn names_do_not_lie_on_each_other() {
        let series = |title: &str, y| Series {
            title: title.into(),
            points: vec![(1.0, 1.0), (2.0, y)],
            role: Role::Other,
        };
        let (x, y) =
            (Axis { title: "x", figure: |x| x.to_string() }, Axis { title: "y", figure: |y| y.to_string() });
        let svg = lines(&Lines {
            title: "t",
            x,
            y,
            evenly: true,
            series: vec![series("a", 10.0), series("b", 10.1)],
        });
        let at = |name: &str| -> f64 {
            let line = svg.lines().find(|line| line.ends_with(&format!(">{name}</text>"))).unwrap();
            line.split_once(" y=\"").unwrap().1.split_once('"').unwrap().0.parse().unwrap()
        };
        assert!((at("a") - at("b")).abs() >= LINE - 0.1, "{svg}");
    }
}
