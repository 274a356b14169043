//! Parts of an evaluation set for those who read it together.

/// The samples whose number leaves `rank` when divided by `of`. The shares 0 to `of - 1` hold every
/// sample once, whatever is known of the set beforehand. The others' samples are passed over unread
/// where they are larger than what a store is asked for at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Which of the shares, from 0.
    pub rank: u32,
    /// How many shares there are, at least 1.
    pub of: u32,
}

impl Share {
    /// The whole set.
    pub const WHOLE: Self = Self { rank: 0, of: 1 };

    /// Whether the sample with this number is in it.
    #[must_use]
    pub fn holds(self, number: u64) -> bool {
        number % u64::from(self.of.max(1)) == u64::from(self.rank)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_in_one_share() {
        for of in 1..5 {
            for number in 0..20 {
                let shares = (0..of).map(|rank| Share { rank, of });
                assert_eq!(shares.filter(|share| share.holds(number)).count(), 1);
            }
        }
        assert!((0..20).all(|number| Share::WHOLE.holds(number)));
    }
}
