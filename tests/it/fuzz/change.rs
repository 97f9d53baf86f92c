//! Makes inputs of inputs, by chance that goes the same way everywhere.

use crate::support::rng::TestRng;
use crate::support::root;

/// The longest input that is made.
const INPUT_MAX: usize = 64 * 1024;

/// How many of the words for any input are numbers; they come first.
const NUMBERS: usize = 16;

/// What is put into inputs.
pub struct Words {
    any: Vec<String>,
    own: Vec<String>,
}

impl Words {
    /// Those that are trouble anywhere, and those of one file.
    pub fn of(name: &str) -> Self {
        let read = |name: &str| {
            let path = root()
                .join("tests/it/fuzz/words")
                .join(name)
                .with_extension("json");
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
        };
        Self {
            any: read("any"),
            own: read(name),
        }
    }
}

/// Makes one input.
pub struct Maker<'a> {
    rng: TestRng,
    words: &'a Words,
}

impl<'a> Maker<'a> {
    /// The maker of the input of this number.
    pub fn of(number: u64, words: &'a Words) -> Self {
        let mut rng = TestRng(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        rng.below(2);
        Self { rng, words }
    }

    /// A kept input with up to eight changes.
    pub fn input(&mut self, kept: &[Vec<u8>]) -> Vec<u8> {
        let mut input = self.one_of(kept).clone();
        let changes = 1 << self.below(4);
        for _ in 0..changes {
            self.change(&mut input, kept);
        }
        input.truncate(INPUT_MAX);
        input
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.rng.below(bound.max(1) as u64)).unwrap()
    }

    fn one_of<'k, T>(&mut self, all: &'k [T]) -> &'k T {
        let at = self.below(all.len());
        &all[at]
    }

    fn change(&mut self, input: &mut Vec<u8>, kept: &[Vec<u8>]) {
        match self.below(12) {
            // One bit, one byte.
            0 => {
                let (at, bit) = (self.below(input.len()), self.below(8));
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << bit;
                }
            }
            1 => {
                let (at, new) = (self.below(input.len()), self.below(256));
                if let Some(byte) = input.get_mut(at) {
                    *byte = u8::try_from(new).unwrap();
                }
            }
            // A part away, twice, many times, somewhere else.
            2 => {
                let part = self.part(input);
                input.drain(part);
            }
            3 | 4 => {
                let part = self.part(input);
                let times = if self.rng.once_in(8) {
                    1 + self.below(400)
                } else {
                    1
                };
                let again = input[part].repeat(times);
                self.put(input, &again[..again.len().min(INPUT_MAX)]);
            }
            5 => {
                let part = self.part(input);
                let moved: Vec<u8> = input.drain(part).collect();
                self.put(input, &moved);
            }
            // The end away.
            6 => {
                let at = self.below(input.len());
                input.truncate(at);
            }
            // A part of another.
            7 => {
                let other = self.one_of(kept).clone();
                let part = self.part(&other);
                self.put(input, &other[part]);
            }
            // A number instead of a number.
            8 => self.number(input),
            // A word between, or instead of a part.
            9 => {
                let part = self.part(input);
                let word = self.word();
                input.splice(part, word.bytes());
            }
            _ => {
                let word = self.word();
                self.put(input, word.as_bytes());
            }
        }
    }

    fn word(&mut self) -> &'a String {
        let words = self.words;
        if self.rng.once_in(2) {
            self.one_of(&words.own)
        } else {
            self.one_of(&words.any)
        }
    }

    /// Puts something at a place, most often where a line or a value begins.
    fn put(&mut self, input: &mut Vec<u8>, what: &[u8]) {
        let mut at = self.below(input.len() + 1);
        if !self.rng.once_in(3) {
            let ends = |byte: &u8| {
                matches!(
                    byte,
                    b'\n' | b' ' | b',' | b':' | b'=' | b'&' | b'"' | b'/' | b'('
                )
            };
            at += input[at..].iter().position(ends).map_or(0, |to| to + 1);
        }
        input.splice(at..at, what.iter().copied());
    }

    /// A part: a whole line, a word, or anything.
    fn part(&mut self, input: &[u8]) -> std::ops::Range<usize> {
        let at = self.below(input.len());
        let within = |ends: &dyn Fn(&u8) -> bool| {
            let from = input[..at]
                .iter()
                .rposition(ends)
                .map_or(0, |from| from + 1);
            let to = input[at..]
                .iter()
                .position(ends)
                .map_or(input.len(), |to| at + to);
            from..to
        };
        match self.below(4) {
            0 => {
                let line = within(&|byte| *byte == b'\n');
                line.start..(line.end + 1).min(input.len())
            }
            1 | 2 => {
                within(&|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'_' | b'.' | b'-'))
            }
            _ => at..(at + 1 + self.below(32)).min(input.len()),
        }
    }

    fn number(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len());
        let Some(from) = input[at..]
            .iter()
            .position(u8::is_ascii_digit)
            .map(|from| at + from)
        else {
            return;
        };
        let length = input[from..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let words = self.words;
        let number = if self.rng.once_in(2) {
            self.one_of(&words.any[..NUMBERS]).clone()
        } else {
            self.below(100_000).to_string()
        };
        input.splice(from..from + length, number.bytes());
    }
}

/// A short name of an input.
pub fn digest(input: &[u8]) -> u32 {
    input.iter().fold(0x811c_9dc5, |digest, byte| {
        (digest ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}
