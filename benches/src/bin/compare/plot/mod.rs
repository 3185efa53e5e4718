//! Plots as SVG. They are read on light and dark pages alike, so they bring their own background.

mod bars;
mod lines;

pub(crate) use bars::{Bar, bars};
pub(crate) use lines::{Axis, Lines, Role, Series, lines};

const WIDTH: f64 = 720.0;
const INK: &str = "#1f2328";
const FAINT: &str = "#d1d9e0";
const OURS: &str = "#1a7f37";

/// The picture around `content`.
fn frame(title: &str, height: f64, content: &str) -> String {
    let title = escape(title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\" role=\"img\" aria-label=\"{title}\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" rx=\"6\" fill=\"#ffffff\" stroke=\"{FAINT}\"/>\n\
         <text x=\"16\" y=\"26\" font-size=\"15\" font-weight=\"bold\" fill=\"{INK}\">{title}</text>\n\
         {content}</svg>\n"
    )
}

fn text(x: f64, y: f64, anchor: &str, fill: &str, text: &str) -> String {
    let text = escape(text);
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{fill}\">{text}</text>\n")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_cannot_break_the_picture() {
        let svg = frame("a < b & \"c\"", 10.0, "");
        assert!(svg.contains(">a &lt; b &amp; &quot;c&quot;</text>"), "{svg}");
    }
}
