//! Whatever items and lines there are: each is accounted for exactly once, and the sums add up.
