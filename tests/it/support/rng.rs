//! Chance that goes the same way on every machine.

/// Numbers from a seed.
pub struct TestRng(pub u64);

impl TestRng {
    /// The next one, below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// Whether it happens this time, once in so many.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}
