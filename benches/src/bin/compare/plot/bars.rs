//! A bar chart: one bar a line, its name before it and its result behind it.

use std::fmt::Write;

use super::{INK, OURS, WIDTH, frame, text};

const BAR: f64 = 26.0;
const GAP: f64 = 12.0;
const TOP: f64 = 44.0;
/// Where the bars start, after their names.
const LEFT: f64 = 300.0;
/// Space for the result after the longest bar.
const RIGHT: f64 = 80.0;

/// One bar.
pub(crate) struct Bar {
    pub(crate) title: String,
    pub(crate) value: f64,
    /// Whether it is the one to look at.
    pub(crate) ours: bool,
}

/// The chart.
pub(crate) fn bars(title: &str, bars: &[Bar], figure: impl Fn(f64) -> String) -> String {
    let height = TOP + bars.len() as f64 * (BAR + GAP) + GAP;
    let longest = bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
    let mut content = String::new();
    for (index, bar) in bars.iter().enumerate() {
        let y = TOP + index as f64 * (BAR + GAP);
        let length = (WIDTH - LEFT - RIGHT) * bar.value / longest;
        let baseline = y + BAR * 0.68;
        let color = if bar.ours { OURS } else { "#8c959f" };
        content += &text(LEFT - 10.0, baseline, "end", INK, &bar.title);
        let _ = writeln!(
            content,
            "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{length:.1}\" height=\"{BAR}\" fill=\"{color}\"/>"
        );
        content += &text(LEFT + length + 8.0, baseline, "start", INK, &figure(bar.value));
    }
    frame(title, height, &content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::thousands;

    #[test]
    fn the_longest_bar_takes_all_the_room_and_the_others_their_share() {
        let bar = |value| Bar { title: "agent".into(), value, ours: false };
        let svg = bars("title", &[bar(1e6), bar(5e5)], thousands);
        assert!(svg.contains("width=\"340.0\"") && svg.contains("width=\"170.0\""), "{svg}");
        assert!(svg.contains("500 k") && svg.ends_with("</svg>\n"));
    }
}
