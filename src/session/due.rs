//! When the tokens of a session are refreshed, and when again after that failed.
//! Pure.
//!
//! *Source:* RFC 6749 §5.1 (`expires_in` is only recommended); RFC 9700 §4.14.2 (rotation).

/// Seconds from one refresh to the next where the provider does not say how long an access token lives.
const UNKNOWN: u64 = 5 * 60;
/// The last part of a token's life, in seconds: a tenth of it within these bounds.
const SHORTEST_MARGIN: u64 = 30;
const LONGEST_MARGIN: u64 = 5 * 60;
/// Seconds that a refresh under way has for itself; longer than its calls may take.
pub(super) const LEASE: u64 = 60;
/// Seconds until a failed refresh is tried again; doubled by each further failure.
const FIRST_PAUSE: u64 = 5;
const LONGEST_PAUSE: u64 = 5 * 60;

/// When an access token that lives `expires_in` seconds from `now` (Unix seconds) should be refreshed.
///
/// In the last tenth of its life, at least 30 seconds and at most 5 minutes before its end; at half time where it
/// lives less than a minute. A life of no time at all says as much as none.
pub(super) fn refresh_at(now: u64, expires_in: Option<u64>) -> u64 {
    let wait = match expires_in {
        None | Some(0) => UNKNOWN,
        Some(life) => {
            let margin = (life / 10).clamp(SHORTEST_MARGIN, LONGEST_MARGIN).min(life / 2);
            life - margin
        }
    };
    now.saturating_add(wait)
}

/// When a refresh that failed at `now` (Unix seconds) after so many `failures` before it is tried again.
pub(super) fn retry_at(now: u64, failures: u8) -> u64 {
    let pause = FIRST_PAUSE.checked_shl(u32::from(failures.min(10))).unwrap_or(LONGEST_PAUSE);
    now.saturating_add(pause.min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_refreshed_in_the_last_part_of_their_life() {
        for (expires_in, wait) in [
            (None, 300),
            (Some(0), 300),
            (Some(1), 1),
            (Some(2), 1),
            (Some(10), 5),
            (Some(59), 30),
            (Some(60), 30),
            (Some(300), 270),
            (Some(600), 540),
            (Some(3600), 3300),
            (Some(86_400), 86_100),
            (Some(31_535_999), 31_535_699),
        ] {
            assert_eq!(refresh_at(1000, expires_in), 1000 + wait, "{expires_in:?}");
        }
        assert_eq!(refresh_at(u64::MAX, Some(u64::MAX)), u64::MAX);
    }

    #[test]
    fn pauses_grow_and_end_at_five_minutes() {
        let pauses: Vec<u64> = [0, 1, 2, 3, 4, 5, 6, 7, 200, 255].map(|n| retry_at(1000, n) - 1000).to_vec();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300, 300, 300]);
        assert_eq!(retry_at(u64::MAX, 3), u64::MAX);
    }
}
