//! Which server of an upstream a request goes to, and which one after that.
//! Pure.
//!
//! *Source:* Thaler and Ravishankar, "Using name-based mappings to increase hit rates" (rendezvous hashing).

/// One request's way over the servers of its upstream.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Choice {
    /// The server that was chosen last.
    pub(crate) server: usize,
    /// How often all servers were tried before it.
    pub(crate) round: usize,
    /// Where a request begins among equals.
    turn: usize,
    /// Servers tried in this round, a bit each.
    tried: u64,
}

impl Choice {
    /// A request that has tried no server yet; `turn` differs from request to request.
    pub(crate) fn new(turn: usize) -> Self {
        Self { turn, ..Self::default() }
    }

    /// Takes the next server of `count`: of those that are up and were not tried the one with the lowest rank, among
    /// equals the one whose turn it is. Where none of them is up, one that is not is tried all the same.
    pub(crate) fn next(
        &mut self,
        count: usize,
        is_up: impl Fn(usize) -> bool,
        rank: impl Fn(usize) -> u64,
    ) -> usize {
        let every = u64::MAX >> (64 - count.clamp(1, 64));
        if self.tried & every == every {
            self.tried = 0;
            self.round += 1;
        }
        let left = every & !self.tried;
        let up = bits(left).filter(|server| is_up(*server)).fold(0, |up, server| up | 1 << server);
        self.server = first(if up == 0 { left } else { up }, self.turn, rank);
        self.tried |= 1 << self.server;
        self.server
    }
}

/// The lowest rank; among equals whoever comes first from the one whose turn it is.
fn first(of: u64, turn: usize, rank: impl Fn(usize) -> u64) -> usize {
    let skipped = turn.checked_rem(of.count_ones() as usize).unwrap_or_default();
    let from_turn = bits(of).skip(skipped).chain(bits(of).take(skipped));
    from_turn.min_by_key(|server| rank(*server)).unwrap_or_default()
}

/// The places of the bits that are set.
fn bits(mut of: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = of.trailing_zeros() as usize;
        of &= of.checked_sub(1)?;
        Some(place)
    })
}

/// A number of a text, the same in every process.
pub(crate) fn digest(text: &[u8]) -> u64 {
    // FNV-1a, then mixed: addresses differ in their last letters only.
    mixed(text.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    }))
}

/// The rank of a server for a key: each key has an order of its own over all servers, in which a further server or a
/// missing one moves nobody but those who go there or were there.
pub(crate) fn rendezvous(key: u64, server: u64) -> u64 {
    mixed(key ^ server)
}

/// The last step of SplitMix64: every bit of the number counts for every bit of the result.
fn mixed(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The servers that a request tries, one after the other.
    fn way(turn: usize, up: &[bool], rank: impl Fn(usize) -> u64, attempts: usize) -> Vec<usize> {
        let mut choice = Choice::new(turn);
        (0..attempts).map(|_| choice.next(up.len(), |server| up[server], &rank)).collect()
    }

    #[test]
    fn equals_take_turns_and_a_missing_one_is_shared_by_all_others() {
        let counts = |up: &[bool]| {
            (0..600).fold(vec![0; up.len()], |mut counts, turn| {
                counts[way(turn, up, |_| 0, 1)[0]] += 1;
                counts
            })
        };
        assert_eq!(counts(&[true, true, true]), [200, 200, 200]);
        assert_eq!(counts(&[true, false, true, true]), [200, 0, 200, 200]);
        assert_eq!(counts(&[true]), [600]);
    }

    #[test]
    fn the_lowest_rank_goes_first() {
        let busy = [3, 1, 2];
        assert_eq!(way(0, &[true; 3], |server| busy[server], 3), [1, 2, 0]);
        assert_eq!(way(0, &[true, false, true], |server| busy[server], 3), [2, 0, 1]);
    }

    #[test]
    fn each_server_is_tried_once_before_any_is_tried_again() {
        let mut choice = Choice::new(5);
        let mut seen = [0; 3];
        for attempt in 0..6 {
            seen[choice.next(3, |_| true, |_| 0)] += 1;
            assert_eq!(choice.round, attempt / 3);
        }
        assert_eq!(seen, [2, 2, 2]);
    }

    #[test]
    fn where_all_are_down_all_are_tried() {
        let mut tried = way(0, &[false; 3], |_| 0, 3);
        tried.sort_unstable();
        assert_eq!(tried, [0, 1, 2]);
        assert_eq!(way(7, &[false], |_| 0, 2), [0, 0]);
    }

    #[test]
    fn a_key_stays_with_its_server_and_few_move_when_one_goes_or_comes() {
        let servers: Vec<u64> =
            (1..=6).map(|n| digest(format!("http://10.0.0.{n}:8080").as_bytes())).collect();
        let home = |key: u64, count: usize, down: Option<usize>| {
            let up: Vec<bool> = (0..count).map(|server| Some(server) != down).collect();
            way(key as usize, &up, |server| rendezvous(key, servers[server]), 1)[0]
        };
        let keys = || (0..6000u64).map(|n| digest(&n.to_be_bytes()));
        let mut counts = [0; 5];
        for key in keys() {
            let before = home(key, 5, None);
            counts[before] += 1;
            // A dead server's sessions go elsewhere, nobody else moves, and they come back.
            let meanwhile = home(key, 5, Some(2));
            assert_eq!(before == meanwhile, before != 2);
            // A sixth server takes from all and gives to none.
            assert!([before, 5].contains(&home(key, 6, None)));
        }
        assert!(counts.iter().all(|count| (1000..1400).contains(count)), "{counts:?}");
        let moved = keys().filter(|key| home(*key, 5, None) != home(*key, 6, None)).count();
        assert!((800..1200).contains(&moved), "{moved} of 6000 moved, a sixth would be right");
    }

    #[test]
    fn the_most_servers_fit_into_a_word() {
        let mut tried = way(3, &[true; 64], |_| 0, 64);
        tried.sort_unstable();
        assert_eq!(tried, (0..64).collect::<Vec<_>>());
    }
}
