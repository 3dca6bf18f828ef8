//! Charts as an SVG picture: panels side by side with the same peers, one bar for each, as long as its typical figure,
//! and behind it the figure and its ratio to ours. A scale is logarithmic where the figures span more than a
//! factor of 20.
//!
//! Written by hand: rectangles and text, no scripts, no fonts but the viewer's. The picture has a ground of its own,
//! dark where the viewer asks for dark.

use core::fmt::{self, Display, Formatter};

use crate::aims::ratio;
use crate::chart::{Chart, Typical, Unit};
use crate::samples::Samples;
use crate::table::{Figure, Humane};

/// Pixels: the whole picture, the names' column, the figures behind the bars, between panels.
const WIDTH: f64 = 880.0;
const NAMES: f64 = 176.0;
const FIGURES: f64 = 104.0;
const GAP: f64 = 14.0;
const ROW: f64 = 20.0;
/// Above the first panels, above the bars of each, below them.
const TOP: f64 = 56.0;
const HEAD: f64 = 36.0;
const FOOT: f64 = 14.0;

/// The classes of what is drawn, and their colours by day and by night.
const STYLE: &str = "<style>\
.ground{fill:#ffffff;stroke:#d1d9e0}.text{fill:#1f2328}.dim{fill:#59636e}\
.own{fill:#0969da}.floor{fill:#7aa37a}.peer{fill:#afb8c1}.line{stroke:#d1d9e0}\
@media(prefers-color-scheme:dark){\
.ground{fill:#0d1117;stroke:#3d444d}.text{fill:#f0f6fc}.dim{fill:#9198a1}\
.own{fill:#4493f8}.floor{fill:#6f9a6f}.peer{fill:#656c76}.line{stroke:#3d444d}}\
</style>";

/// Displays panels as an SVG document.
#[derive(Clone, Debug)]
pub struct Svg<'a> {
    /// Above all.
    pub title: &'a str,
    /// A line under the title: where it was measured.
    pub machine: &'a str,
    /// Whose figures are 1 in the ratios.
    pub reference: &'a str,
    /// Panels in a row.
    pub columns: usize,
    /// The peers, in their order.
    pub names: Vec<&'a str>,
    /// What is drawn.
    pub panels: Vec<Panel<'a>>,
}

/// One figure of some peers.
#[derive(Clone, Debug)]
pub struct Panel<'a> {
    /// Above the bars.
    pub title: &'a str,
    /// The unit of all figures.
    pub unit: Unit,
    /// Which of the samples is drawn.
    pub typical: Typical,
    /// The figures of peers.
    pub lines: Vec<(&'a str, &'a Samples)>,
}

impl<'a> Panel<'a> {
    /// A whole chart.
    pub fn of(chart: &'a Chart) -> Self {
        Self {
            title: chart.title,
            unit: chart.unit,
            typical: chart.typical,
            lines: names(chart)
                .zip(chart.lines.iter().map(|line| &line.samples))
                .collect(),
        }
    }

    fn figure(&self, name: &str) -> Option<f64> {
        let (_, samples) = self.lines.iter().find(|(who, _)| *who == name)?;
        self.typical.of(samples)
    }

    fn figures(&self) -> impl Iterator<Item = f64> {
        let lines = self.lines.iter();
        lines.filter_map(|(_, samples)| self.typical.of(samples))
    }
}

/// Whether a chart has bars to draw.
pub fn is_drawable(chart: &Chart) -> bool {
    chart.unit != Unit::YesNo && chart.lines.len() > 1
}

/// The peers of a chart.
pub fn names(chart: &Chart) -> impl Iterator<Item = &str> {
    chart.lines.iter().map(|line| &*line.name)
}

impl Display for Svg<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let columns = self.columns.clamp(1, 3);
        let rows: Vec<&[Panel<'_>]> = self.panels.chunks(columns).collect();
        let tall = |row: &&[Panel<'_>]| HEAD + ROW * self.names_in(row).len() as f64 + FOOT;
        let height = TOP + rows.iter().map(tall).sum::<f64>();
        writeln!(
            f,
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" font-family="system-ui, 'Segoe UI', Helvetica, Arial, 'DejaVu Sans', sans-serif" font-size="12">"#
        )?;
        writeln!(f, "{STYLE}")?;
        writeln!(
            f,
            r#"<rect class="ground" x="0.5" y="0.5" width="{}" height="{}" rx="6"/>"#,
            WIDTH - 1.0,
            height - 1.0
        )?;
        writeln!(
            f,
            r#"<text class="text" x="16" y="26" font-size="16" font-weight="bold">{}</text>"#,
            Escaped(self.title)
        )?;
        writeln!(
            f,
            r#"<text class="dim" x="16" y="44" font-size="11">{}. × is the ratio to {}.</text>"#,
            Escaped(self.machine),
            Escaped(self.reference)
        )?;
        let width = (WIDTH - NAMES - GAP) / columns as f64;
        let mut y = TOP;
        for row in rows {
            let names = self.names_in(row);
            for (i, name) in names.iter().enumerate() {
                writeln!(
                    f,
                    r#"<text class="text" x="{:.1}" y="{:.1}" text-anchor="end"{}>{}</text>"#,
                    NAMES - 8.0,
                    y + HEAD + ROW * i as f64 + 14.0,
                    weight(name == &self.reference),
                    Escaped(name)
                )?;
            }
            for (i, panel) in row.iter().enumerate() {
                let x = NAMES + width * i as f64;
                self.panel(panel, &names, (x, y), width - GAP - FIGURES, f)?;
            }
            y += tall(&row);
        }
        writeln!(f, "</svg>")
    }
}

impl Svg<'_> {
    /// Who has a figure in one of these panels.
    fn names_in(&self, row: &[Panel<'_>]) -> Vec<&str> {
        let there = |name: &&str| row.iter().any(|panel| panel.figure(name).is_some());
        self.names.iter().copied().filter(there).collect()
    }

    fn panel(
        &self,
        panel: &Panel<'_>,
        names: &[&str],
        (x, y): (f64, f64),
        bars: f64,
        f: &mut Formatter<'_>,
    ) -> fmt::Result {
        let scale = Scale::over(panel, bars);
        let better = match panel.unit.greater_is_better() {
            true => "longer is better",
            false => "shorter is better",
        };
        let logarithmic = match scale.logarithmic {
            true => ", logarithmic",
            false => "",
        };
        let top = y + HEAD;
        writeln!(
            f,
            r#"<text class="text" x="{x:.1}" y="{:.1}" font-weight="bold">{}</text><text class="dim" x="{x:.1}" y="{:.1}" font-size="10">{better}{logarithmic}</text><line class="line" x1="{x:.1}" y1="{top:.1}" x2="{x:.1}" y2="{:.1}"/>"#,
            y + 14.0,
            Escaped(panel.title),
            y + 27.0,
            top + ROW * names.len() as f64
        )?;
        for (i, name) in names.iter().enumerate() {
            let top = top + ROW * i as f64;
            let text = top + 14.0;
            let Some(figure) = panel.figure(name) else {
                writeln!(
                    f,
                    r#"<text class="dim" x="{:.1}" y="{text:.1}">–</text>"#,
                    x + 5.0
                )?;
                continue;
            };
            let length = scale.place(figure);
            let is_reference = *name == self.reference;
            let times = ratio(Some(figure), panel.figure(self.reference));
            let times = match times {
                Some(times) if !is_reference => format!(
                    r#" <tspan class="dim" font-size="11">{}×</tspan>"#,
                    Figure(Some(times))
                ),
                _ => String::new(),
            };
            writeln!(
                f,
                r#"<rect class="{}" x="{x:.1}" y="{:.1}" width="{length:.1}" height="{:.1}"/><text class="text" x="{:.1}" y="{text:.1}"{}>{}{times}</text>"#,
                class(name),
                top + 3.0,
                ROW - 6.0,
                x + length + 5.0,
                weight(is_reference),
                Humane(figure, panel.unit)
            )?;
        }
        Ok(())
    }
}

fn weight(is_reference: bool) -> &'static str {
    if is_reference {
        r#" font-weight="bold""#
    } else {
        ""
    }
}

fn class(name: &str) -> &'static str {
    const FLOORS: [&str; 6] = [
        "plain",
        "malloc",
        "membarrier",
        "getppid",
        "dependent",
        "thread::",
    ];
    if name.starts_with("urcu") || name.starts_with("kernfs") {
        "own"
    } else if FLOORS.iter().any(|floor| name.starts_with(floor)) {
        "floor"
    } else {
        "peer"
    }
}

/// From figures to pixels.
struct Scale {
    low: f64,
    high: f64,
    bars: f64,
    logarithmic: bool,
}

impl Scale {
    fn over(panel: &Panel<'_>, bars: f64) -> Self {
        let high = panel.figures().fold(f64::MIN_POSITIVE, f64::max);
        let least = panel.figures().filter(|figure| *figure > 0.0);
        let least = least.fold(high, f64::min);
        let logarithmic = high / least > 20.0;
        Self {
            // The least is to be seen.
            low: if logarithmic { least / 1.6 } else { 0.0 },
            high,
            bars,
            logarithmic,
        }
    }

    /// Pixels from the left end.
    fn place(&self, figure: f64) -> f64 {
        let part = if self.logarithmic {
            (figure.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            figure / self.high
        };
        self.bars * part.clamp(0.0, 1.0)
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

    fn chart(figures: &[f64]) -> Chart {
        let mut chart = Chart::new("k", "a < b", Unit::Ns, Typical::Min);
        for (i, figure) in figures.iter().enumerate() {
            chart.add(&format!("peer {i}"), Some(*figure));
        }
        chart
    }

    #[test]
    fn the_longest_bar_ends_within_its_panel_and_the_shortest_is_seen() {
        for figures in [&[1.0, 2.0, 3.0][..], &[0.03, 5.0, 10_000.0]] {
            let chart = chart(figures);
            let scale = Scale::over(&Panel::of(&chart), 100.0);
            assert!(scale.place(figures[0]) > 2.0);
            assert!(scale.place(figures[2]) <= 100.0);
            assert!(scale.place(figures[1]) < scale.place(figures[2]));
        }
    }

    #[test]
    fn a_wide_range_is_logarithmic_and_says_so() {
        let wide = |figures: &[f64]| {
            let chart = chart(figures);
            let text = document(&[&chart], 1);
            text.contains("logarithmic")
        };
        assert!(!wide(&[1.0, 19.0]));
        assert!(wide(&[1.0, 25.0]));
    }

    fn document(charts: &[&Chart], columns: usize) -> String {
        let svg = Svg {
            title: "T",
            machine: "A&B",
            reference: "peer 0",
            columns,
            names: names(charts[0]).collect(),
            panels: charts.iter().map(|chart| Panel::of(chart)).collect(),
        };
        svg.to_string()
    }

    #[test]
    fn the_document_is_escaped_and_closed() {
        let chart = chart(&[1.0, 2.0]);
        let text = document(&[&chart], 1);
        assert!(text.contains("a &lt; b") && text.contains("A&amp;B"));
        assert_eq!(text.matches("<rect").count(), 3);
        assert!(text.contains("2.00×") && !text.contains("1.00×"));
        assert!(text.starts_with("<svg") && text.ends_with("</svg>\n"));
    }

    #[test]
    fn who_has_no_figure_in_a_panel_is_a_dash_there() {
        let (both, one) = (chart(&[1.0, 2.0]), chart(&[1.0]));
        let text = document(&[&both, &one], 2);
        assert_eq!(text.matches('–').count(), 1);
        assert_eq!(text.matches("<rect").count(), 4);
        // In another row of panels it has no place.
        assert_eq!(document(&[&both, &one], 1).matches('–').count(), 0);
    }
}
