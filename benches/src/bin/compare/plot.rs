//! A bar chart as SVG: one bar per agent.

use std::fmt::Write;

use crate::results::thousands;

const WIDTH: f64 = 720.0;
const BAR: f64 = 26.0;
const GAP: f64 = 12.0;
const TOP: f64 = 44.0;
/// Where the bars start, after their names.
const LEFT: f64 = 300.0;
/// Room for the figure after the longest bar.
const RIGHT: f64 = 70.0;

/// One bar.
pub(crate) struct Bar {
    pub(crate) title: &'static str,
    pub(crate) value: f64,
    /// Whether it is the one to look at.
    pub(crate) ours: bool,
}

/// The chart. It is read on light and dark pages alike, so it brings its own background.
pub(crate) fn chart(title: &str, bars: &[Bar]) -> String {
    let height = TOP + bars.len() as f64 * (BAR + GAP) + GAP;
    let longest = bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"13\" role=\"img\" aria-label=\"{title}\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"16\" y=\"26\" font-size=\"15\" font-weight=\"bold\" fill=\"#1f2328\">{title}</text>\n"
    );
    for (index, bar) in bars.iter().enumerate() {
        let y = TOP + index as f64 * (BAR + GAP);
        let length = (WIDTH - LEFT - RIGHT) * bar.value / longest;
        let (text, end) = (y + BAR * 0.68, LEFT + length + 8.0);
        let color = if bar.ours { "#1a7f37" } else { "#8c959f" };
        let _ = write!(
            svg,
            "<text x=\"{}\" y=\"{text:.1}\" text-anchor=\"end\" fill=\"#1f2328\">{}</text>\n\
             <rect x=\"{LEFT}\" y=\"{y}\" width=\"{length:.1}\" height=\"{BAR}\" fill=\"{color}\"/>\n\
             <text x=\"{end:.1}\" y=\"{text:.1}\" fill=\"#1f2328\">{}</text>\n",
            LEFT - 10.0,
            bar.title,
            thousands(bar.value),
        );
    }
    svg + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_takes_all_the_room_and_the_others_their_share() {
        let bar = |value| Bar { title: "agent", value, ours: false };
        let svg = chart("title", &[bar(1e6), bar(5e5)]);
        assert!(svg.contains("width=\"350.0\"") && svg.contains("width=\"175.0\""), "{svg}");
        assert!(svg.contains("500 k") && svg.ends_with("</svg>\n"));
    }
}
