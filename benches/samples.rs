//! The figures of all rounds of one measurement: extremes and median, nothing else.
//!
//! No mean: one interrupt spoils it. No deviation: the rounds are not independent.

/// One figure a round.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Adds what a round gave, if it gave a figure.
    pub fn extend(&mut self, figure: Option<f64>) {
        self.0.extend(figure);
    }

    /// The figures in the order of the rounds.
    pub fn as_slice(&self) -> &[f64] {
        &self.0
    }

    /// The least; `None` when nothing was measured.
    pub fn min(&self) -> Option<f64> {
        self.0.iter().copied().min_by(f64::total_cmp)
    }

    /// The greatest; `None` when nothing was measured.
    pub fn max(&self) -> Option<f64> {
        self.0.iter().copied().max_by(f64::total_cmp)
    }

    /// The middle one, or the mean of the middle two; `None` when nothing was measured.
    pub fn median(&self) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let upper = *sorted.get(sorted.len() / 2)?;
        if sorted.len() % 2 == 1 {
            return Some(upper);
        }
        let lower = *sorted.get(sorted.len() / 2 - 1)?;
        Some(f64::midpoint(lower, upper))
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(figures: I) -> Self {
        Self(figures.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn min_and_median_do_not_depend_on_the_order_of_rounds() {
        let odd: Samples = [3.0, 1.0, 2.0].into_iter().collect();
        assert_eq!((odd.min(), odd.median()), (Some(1.0), Some(2.0)));
        assert_eq!(odd.max(), Some(3.0));
        let even: Samples = [4.0, 100.0, 1.0, 2.0].into_iter().collect();
        assert_eq!((even.min(), even.median()), (Some(1.0), Some(3.0)));
        assert_eq!(even.as_slice()[1], 100.0);
    }

    #[test]
    fn one_spoiled_round_moves_neither() {
        let spoiled: Samples = [5.0, 5.0, 5.0, 5.0, 9000.0].into_iter().collect();
        assert_eq!((spoiled.min(), spoiled.median()), (Some(5.0), Some(5.0)));
    }

    #[test]
    fn no_round_no_figure() {
        assert_eq!(Samples::default().min(), None);
        assert_eq!(Samples::default().max(), None);
        assert_eq!(Samples::default().median(), None);
    }
}
