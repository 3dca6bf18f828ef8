//! A chart as an SVG picture: one bar for each peer, as long as its median, with a notch at its best round,
//! and both in figures. The axis is logarithmic where the figures span more than a factor of 20.
//!
//! Written by hand: rectangles and text, no scripts, no fonts but the viewer's.

use core::fmt::{self, Display, Formatter};

use crate::chart::{Chart, Line, Unit};
use crate::table::{Figure, pair};

/// Pixels: the whole picture, the names' column, the figures' column, the bars.
const WIDTH: f64 = 760.0;
const NAMES: f64 = 220.0;
const FIGURES: f64 = 130.0;
const BARS: f64 = WIDTH - NAMES - FIGURES;
const ROW: f64 = 20.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 26.0;

const OWN: &str = "#2f6fb3";
const FLOOR: &str = "#8aa37b";
const PEER: &str = "#b9bec5";

/// Displays a [`Chart`] as an SVG document.
#[derive(Clone, Copy, Debug)]
pub struct Svg<'a> {
    /// What is drawn.
    pub chart: &'a Chart,
    /// A line under the title: where it was measured.
    pub machine: &'a str,
}

/// Whether a chart has bars to draw.
pub fn is_drawable(chart: &Chart) -> bool {
    chart.unit != Unit::YesNo && chart.lines.len() > 1
}

impl Display for Svg<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let chart = self.chart;
        let height = TOP + ROW * chart.lines.len() as f64 + BOTTOM;
        let scale = Scale::over(chart);
        writeln!(
            f,
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">"#
        )?;
        writeln!(f, r#"<rect width="100%" height="100%" fill="white"/>"#)?;
        let unit = match chart.unit {
            Unit::Count => String::new(),
            unit => format!(", {}", unit.name()),
        };
        let notch = if chart.unit.greater_is_better() {
            "greatest"
        } else {
            "least"
        };
        writeln!(
            f,
            r#"<text x="8" y="20" font-size="15" font-weight="bold">{}{unit}</text>"#,
            Escaped(chart.title)
        )?;
        writeln!(
            f,
            r##"<text x="8" y="38" font-size="11" fill="#555">bar: median, notch: {notch}. {}</text>"##,
            Escaped(self.machine)
        )?;
        for tick in scale.ticks() {
            let x = NAMES + scale.place(tick);
            writeln!(
                f,
                r##"<line x1="{x:.1}" y1="{TOP}" x2="{x:.1}" y2="{:.1}" stroke="#ddd"/><text x="{x:.1}" y="{:.1}" font-size="10" fill="#555" text-anchor="middle">{}</text>"##,
                height - BOTTOM,
                height - BOTTOM + 14.0,
                Short(tick)
            )?;
        }
        for (row, line) in chart.lines.iter().enumerate() {
            bar(line, chart.unit, TOP + ROW * row as f64, &scale, f)?;
        }
        writeln!(f, "</svg>")
    }
}

fn bar(line: &Line, unit: Unit, y: f64, scale: &Scale, f: &mut Formatter<'_>) -> fmt::Result {
    let samples = &line.samples;
    let best = if unit.greater_is_better() {
        samples.max()
    } else {
        samples.min()
    };
    let (Some(median), Some(best)) = (samples.median(), best) else {
        return Ok(());
    };
    let color = match &*line.name {
        name if name.starts_with("urcu") || name.starts_with("kernfs") => OWN,
        name if name.starts_with("plain") || name.starts_with("malloc") => FLOOR,
        name if name.starts_with("membarrier") => FLOOR,
        _ => PEER,
    };
    let text = y + ROW - 6.0;
    let end = scale.place(median);
    let notch = NAMES + scale.place(best);
    writeln!(
        f,
        r##"<text x="{:.1}" y="{text:.1}" text-anchor="end">{}</text><rect x="{NAMES}" y="{:.1}" width="{end:.1}" height="{:.1}" fill="{color}"/><line x1="{notch:.1}" y1="{:.1}" x2="{notch:.1}" y2="{:.1}" stroke="#222" stroke-width="2"/><text x="{:.1}" y="{text:.1}" fill="#333">{}</text>"##,
        NAMES - 8.0,
        Escaped(&line.name),
        y + 3.0,
        ROW - 6.0,
        y + 3.0,
        y + ROW - 3.0,
        WIDTH - FIGURES + 10.0,
        pair(Some(samples), unit)
    )
}

/// From figures to pixels.
struct Scale {
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl Scale {
    fn over(chart: &Chart) -> Self {
        let medians = chart.lines.iter().filter_map(|line| line.samples.median());
        let extremes = chart
            .lines
            .iter()
            .flat_map(|line| [line.samples.min(), line.samples.median()]);
        let high = medians.fold(f64::MIN_POSITIVE, f64::max);
        let least = extremes
            .flatten()
            .filter(|figure| *figure > 0.0)
            .fold(high, f64::min);
        let logarithmic = high / least > 20.0;
        let low = if logarithmic {
            10f64.powf((least / 1.5).log10().floor())
        } else {
            0.0
        };
        Self {
            low,
            high: high * 1.04,
            logarithmic,
        }
    }

    /// Pixels from the left end; what lies outside is drawn at the end.
    fn place(&self, figure: f64) -> f64 {
        let part = if self.logarithmic {
            (figure.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            figure / self.high
        };
        BARS * part.clamp(0.0, 1.0)
    }

    fn ticks(&self) -> Vec<f64> {
        let mut tick = if self.logarithmic {
            self.low
        } else {
            // A round step that gives three to eight ticks.
            let step = 10f64.powf((self.high / 3.0).log10().floor());
            let step = [5.0 * step, 2.0 * step, step]
                .into_iter()
                .find(|step| self.high / step >= 3.0)
                .unwrap_or(step);
            return (0..=8)
                .map(|i| f64::from(i) * step)
                .filter(|tick| *tick <= self.high)
                .collect();
        };
        let mut ticks = Vec::new();
        while tick <= self.high {
            ticks.push(tick);
            tick *= 10.0;
        }
        ticks
    }
}

/// A tick's label without needless digits.
struct Short(f64);

impl Display for Short {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let value = self.0;
        if value == 0.0 {
            f.write_str("0")
        } else if value < 1.0 {
            write!(f, "{}", (value * 1e6).round() / 1e6)
        } else if value < 1e6 {
            write!(f, "{}", (value * 10.0).round() / 10.0)
        } else {
            write!(f, "{}", Figure(Some(value)))
        }
    }
}

/// Text with the escapes that XML requires.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::Typical;

    fn chart(figures: &[f64]) -> Chart {
        let mut chart = Chart::new("k", "a < b", Unit::Ns, Typical::Min);
        for (i, figure) in figures.iter().enumerate() {
            chart.add(&format!("peer {i}"), Some(*figure));
        }
        chart
    }

    #[test]
    fn the_longest_bar_ends_within_the_picture_and_the_shortest_is_seen() {
        for figures in [&[1.0, 2.0, 3.0][..], &[0.03, 5.0, 10_000.0]] {
            let scale = Scale::over(&chart(figures));
            assert!(scale.place(figures[0]) > 2.0);
            assert!(scale.place(figures[2]) <= BARS);
            assert!(scale.place(figures[1]) < scale.place(figures[2]));
            let ticks = scale.ticks().len();
            assert!((3..=9).contains(&ticks), "{ticks} ticks");
        }
    }

    #[test]
    fn a_wide_range_is_drawn_in_decades() {
        assert!(!Scale::over(&chart(&[1.0, 19.0])).logarithmic);
        let scale = Scale::over(&chart(&[1.0, 25.0]));
        assert_eq!(scale.ticks(), [0.1, 1.0, 10.0]);
    }

    #[test]
    fn the_document_is_escaped_and_closed() {
        let chart = chart(&[1.0, 2.0]);
        let svg = Svg {
            chart: &chart,
            machine: "A&B",
        };
        let text = svg.to_string();
        assert!(text.contains("a &lt; b, ns") && text.contains("A&amp;B"));
        assert_eq!(text.matches("<rect").count(), 3);
        assert!(text.starts_with("<svg") && text.ends_with("</svg>\n"));
    }
}
