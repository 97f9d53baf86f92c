//! Bars as inline SVG, drawn with whole numbers. Colours come from the page's style, by class.

use std::fmt::Write as _;

/// What one place of a chart shows.
#[derive(Debug, Clone)]
pub(super) struct ChartPair {
    /// Below the bars: `11-20`.
    pub label: String,
    /// The heights, and how people read them.
    pub ours: (i128, String),
    pub theirs: (i128, String),
}

/// One bar that lies.
#[derive(Debug, Clone)]
pub(super) struct ChartBar {
    pub label: &'static str,
    pub count: u64,
    /// Whether it needs somebody.
    pub grave: bool,
}

const HEIGHT: i128 = 150;
const BAR: usize = 14;
const STEP: usize = 44;
const LEFT: usize = 4;

/// Ours and theirs side by side, day by day. The text must be escaped already; it is only digits
/// and dashes.
pub(super) fn pairs(title: &str, pairs: &[ChartPair]) -> String {
    let highest = pairs
        .iter()
        .map(|pair| pair.ours.0.max(pair.theirs.0))
        .max()
        .unwrap_or(0)
        .max(1);
    let width = LEFT * 2 + pairs.len() * STEP;
    let mut svg = format!(
        "<svg class=\"chart\" role=\"img\" aria-label=\"{title}\" viewBox=\"0 0 {width} {0}\" width=\"{width}\" height=\"{0}\">",
        HEIGHT + 34
    );
    let base = HEIGHT + 10;
    let _ = write!(
        svg,
        "<line class=\"axis\" x1=\"0\" y1=\"{base}\" x2=\"{width}\" y2=\"{base}\"/>"
    );
    for (place, pair) in pairs.iter().enumerate() {
        let x = LEFT + place * STEP + 7;
        for (offset, class, (value, told)) in
            [(0, "ours", &pair.ours), (BAR + 2, "theirs", &pair.theirs)]
        {
            let height = if *value > 0 {
                (value * HEIGHT / highest).max(1)
            } else {
                0
            };
            let _ = write!(
                svg,
                "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{BAR}\" height=\"{height}\" rx=\"2\"><title>{} {class}: {told}</title></rect>",
                x + offset,
                base - height,
                pair.label
            );
        }
        let middle = x + BAR + 1;
        let _ = write!(
            svg,
            "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            base + 16,
            pair.label
        );
    }
    svg.push_str("</svg>");
    svg
}

/// How many there are of each.
pub(super) fn bars(title: &str, bars: &[ChartBar]) -> String {
    const ROW: usize = 26;
    const NAMES: usize = 190;
    const WIDTH: usize = 640;
    let most = bars.iter().map(|bar| bar.count).max().unwrap_or(0).max(1);
    let height = bars.len() * ROW + 4;
    let mut svg = format!(
        "<svg class=\"chart\" role=\"img\" aria-label=\"{title}\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\">"
    );
    for (place, bar) in bars.iter().enumerate() {
        let y = place * ROW + 4;
        let room = u128::try_from(WIDTH - NAMES - 70).unwrap_or(0);
        let length =
            (u128::from(bar.count) * room / u128::from(most)).max(u128::from(bar.count > 0) * 2);
        let class = if bar.grave { "grave" } else { "mild" };
        let _ = write!(
            svg,
            "<text x=\"{0}\" y=\"{1}\" text-anchor=\"end\">{2}</text><rect class=\"{class}\" x=\"{NAMES}\" y=\"{y}\" width=\"{length}\" height=\"18\" rx=\"2\"/><text x=\"{3}\" y=\"{1}\">{4}</text>",
            NAMES - 10,
            y + 13,
            bar.label.replace('_', " "),
            u128::try_from(NAMES).unwrap_or(0) + length + 8,
            bar.count
        );
    }
    svg.push_str("</svg>");
    svg
}
