//! Randomness that stays the same for ever: SplitMix64 and integer tables, nothing borrowed from a crate's version.

/// SplitMix64 (Steele, Lea and Flood, 2014): a 64-bit counter through a fixed mixer.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The stream of the record `index` under `seed`. Each record has a stream of its own, so what a record looks
    /// like depends neither on the records before it nor on how many there will be.
    pub(crate) fn of(seed: u64, index: u64) -> Self {
        Self(mix(mix(seed) ^ index))
    }

    /// 64 fresh bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number in `0..bound`; 0 for a bound of 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// Whether something that happens in `share` of all cases happens now.
    pub(crate) fn chance(&mut self, share: Share) -> bool {
        self.bits() >> 32 < share.0
    }
}

/// The mixer of SplitMix64: a bijection that spreads every input bit over the output.
pub(crate) const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// A share of all cases, in parts of 2³².
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share(u64);

impl Share {
    /// `percent` of all cases.
    #[cfg(test)]
    pub(crate) const fn percent(percent: u32) -> Self {
        Self(((percent as u64) << 32) / 100)
    }
}

impl std::str::FromStr for Share {
    type Err = String;

    /// Reads `0.01` or `1%`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (digits, scale) = match text.strip_suffix('%') {
            Some(percent) => (percent, 100.0),
            None => (text, 1.0),
        };
        match digits.trim().parse::<f64>() {
            Ok(number) if (0.0..=scale).contains(&number) => {
                Ok(Self((number / scale * (1_u64 << 32) as f64) as u64))
            }
            _ => Err(format!(
                "{text:?} is no share: give a number from 0 to 1 or a percentage such as 1%"
            )),
        }
    }
}

/// Ranks drawn with weight 1/(rank + 1), as the popularity of sites, pages and visitors goes (Zipf).
#[derive(Debug)]
pub(crate) struct Skewed {
    cumulative: Vec<u64>,
}

impl Skewed {
    /// A table of `ranks` ranks; integers only, so it is the same on every machine.
    pub(crate) fn new(ranks: u32) -> Self {
        let mut sum = 0;
        let cumulative = (1..=u64::from(ranks))
            .map(|rank| {
                sum += (1 << 32) / rank;
                sum
            })
            .collect();
        Self { cumulative }
    }

    /// Draws a rank.
    pub(crate) fn pick(&self, random: &mut Random) -> u32 {
        let point = random.below(self.cumulative.last().copied().unwrap_or(0));
        self.cumulative.partition_point(|&sum| sum <= point) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix64_gives_the_published_sequence() {
        // The reference C implementation, seed 1234567.
        let mut random = Random(1_234_567);
        let drawn: Vec<u64> = (0..3).map(|_| random.bits()).collect();
        assert_eq!(
            drawn,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn shares_come_as_fractions_and_percentages() {
        assert_eq!("1%".parse(), Ok(Share::percent(1)));
        assert_eq!("0.5".parse(), Ok(Share::percent(50)));
        assert_eq!("1".parse(), Ok(Share::percent(100)));
        assert!("1.5".parse::<Share>().is_err());
        assert!("-1%".parse::<Share>().is_err());
        assert!("NaN".parse::<Share>().is_err());
        let mut random = Random::of(1, 1);
        assert!((0..1_000).all(|_| random.chance(Share::percent(100))));
        assert!((0..1_000).all(|_| !random.chance(Share::percent(0))));
    }

    #[test]
    fn ranks_are_drawn_by_their_weight() {
        let (table, mut random) = (Skewed::new(100), Random::of(7, 0));
        let mut drawn = [0_u32; 100];
        for _ in 0..100_000 {
            drawn[table.pick(&mut random) as usize] += 1;
        }
        // 1/H(100) = 0.1928; rank 9 has a tenth of rank 0.
        assert!((18_800..19_800).contains(&drawn[0]), "{}", drawn[0]);
        assert!((1_700..2_150).contains(&drawn[9]), "{}", drawn[9]);
        assert!(drawn[99] > 100, "{}", drawn[99]);
    }
}
