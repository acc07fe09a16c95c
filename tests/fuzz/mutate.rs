//! Inputs made of a corpus: a file of it, changed in a few places.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Inputs grow no larger, so that what is made of them cannot either.
const LARGEST: usize = 64 << 10;

pub struct Mutator<'a> {
    seeds: Vec<Vec<u8>>,
    words: &'a [&'a str],
}

impl<'a> Mutator<'a> {
    /// Files that are too large are cut.
    pub fn new(mut seeds: Vec<Vec<u8>>, words: &'a [&'a str]) -> Self {
        assert!(!seeds.is_empty() && !words.is_empty());
        seeds.iter_mut().for_each(|seed| seed.truncate(LARGEST));
        Self { seeds, words }
    }

    /// The input of this number: the corpus itself first, then what becomes of it.
    pub fn input(&self, seed: u64, number: u64) -> Vec<u8> {
        if let Some(file) = usize::try_from(number).ok().and_then(|number| self.seeds.get(number)) {
            return file.clone();
        }
        let mut rng = StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(number));
        let mut input = self.any(&mut rng).to_vec();
        for _ in 0..1 + rng.random_range(0..6) {
            self.change(&mut rng, &mut input);
            input.truncate(LARGEST);
        }
        input
    }

    fn any(&self, rng: &mut StdRng) -> &[u8] {
        &self.seeds[rng.random_range(0..self.seeds.len())]
    }

    fn change(&self, rng: &mut StdRng, input: &mut Vec<u8>) {
        let at = rng.random_range(0..=input.len());
        let end = (at + rng.random_range(0..32)).min(input.len());
        match rng.random_range(0..12) {
            0 if at < input.len() => input[at] ^= 1 << rng.random_range(0..8),
            1 if at < input.len() => input[at] = rng.random(),
            2 => drop(input.drain(at..end)),
            3 => input.truncate(at),
            4 | 5 => {
                let word = self.words[rng.random_range(0..self.words.len())];
                input.splice(at..at, word.bytes());
            }
            6 => {
                let word = self.words[rng.random_range(0..self.words.len())];
                input.splice(at..end, word.bytes());
            }
            // The end of another file.
            7 => {
                let other = self.any(rng);
                let from = rng.random_range(0..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            // A piece many times over: depth and width.
            8 => {
                let piece = input[at..end].to_vec();
                let times = [2, 10, 1000][rng.random_range(0..3)];
                input.splice(at..end, piece.repeat(times));
            }
            // A line elsewhere.
            9 => {
                let lines: Vec<&[u8]> = input.split_inclusive(|byte| *byte == b'\n').collect();
                let line = lines.get(rng.random_range(0..lines.len().max(1))).map(|line| line.to_vec());
                input.splice(at..at, line.unwrap_or_default());
            }
            10 => {
                const ODD: [&[u8]; 10] = [
                    b"\0",
                    b"\xff",
                    b"\r",
                    b"\t",
                    b"\xef\xbb\xbf",
                    b"\xed\xa0\x80",
                    b"\xc0\x80",
                    b"\x1b[31m",
                    b"\xe2\x80\xae",
                    b"\xf4\x90\x80\x80",
                ];
                let odd = ODD[rng.random_range(0..ODD.len())];
                input.splice(at..at, odd.iter().copied());
            }
            _ => {
                let number = [
                    "-1",
                    "0",
                    "1e999",
                    "99999999999999999999",
                    "0x10",
                    "0123",
                    "1_000",
                    ".inf",
                    "~",
                    "null",
                ];
                input.splice(at..end, number[rng.random_range(0..number.len())].bytes());
            }
        }
    }
}
