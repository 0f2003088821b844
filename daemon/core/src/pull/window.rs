//! Decides whether something may be done at this time of day. A window is a span of local time, which may go over midnight.
//! Must not know where the time comes from.

use std::time::Duration;

/// Seconds of a day.
const DAY: u32 = 24 * 3600;

/// A span of the day: from its begin up to, and without, its end; in seconds since midnight, local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    from: u32,
    to: u32,
}

impl Window {
    /// Reads `22:00-05:30`; `None` if it is not of that form, or empty.
    pub fn from_text(text: &str) -> Option<Window> {
        let (from, to) = text.split_once('-')?;
        let (from, to) = (time(from.trim())?, time(to.trim())?);
        // `00:00-24:00` is the whole day.
        (from != to % DAY || to == DAY).then_some(Window { from, to })
    }

    fn is_open(self, second: u32) -> bool {
        match self.from < self.to {
            true => (self.from..self.to).contains(&second),
            false => second >= self.from || second < self.to,
        }
    }
}

/// How long it is until one of the windows opens, at this second of the day; `None` if one is open, or there are none.
pub fn until_open(windows: &[Window], second: u32) -> Option<Duration> {
    if windows.is_empty() || windows.iter().any(|window| window.is_open(second)) {
        return None;
    }
    let left = |window: &Window| (window.from + DAY - second % DAY) % DAY;
    windows.iter().map(left).min().map(|left| Duration::from_secs(u64::from(left)))
}

fn time(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u32>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let seconds = hours * 3600 + minutes * 60;
    (minutes < 60 && seconds <= DAY).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(text: &str) -> u32 {
        time(text).unwrap()
    }

    #[test]
    fn what_is_no_span_of_the_day_is_refused() {
        for text in ["22:00-05:30", "00:00-24:00", "12:00 - 13:00", "23:00-00:00"] {
            assert!(Window::from_text(text).is_some(), "{text}");
        }
        for text in
            ["", "22:00", "22-5", "24:01-05:00", "12:60-13:00", "1:00-2:00", "07:00-07:00", "00:00-00:00", "a:b-c:d"]
        {
            assert!(Window::from_text(text).is_none(), "{text}");
        }
    }

    #[test]
    fn it_is_open_from_its_begin_to_before_its_end_also_over_midnight() {
        let windows = |texts: &[&str]| texts.iter().map(|text| Window::from_text(text).unwrap()).collect::<Vec<_>>();
        let minutes = |m: u64| Some(Duration::from_secs(m * 60));
        for (texts, now, expected) in [
            (&[][..], "12:00", None),
            (&["22:00-05:30"], "22:00", None),
            (&["22:00-05:30"], "23:59", None),
            (&["22:00-05:30"], "00:00", None),
            (&["22:00-05:30"], "05:29", None),
            (&["22:00-05:30"], "05:30", minutes(16 * 60 + 30)),
            (&["22:00-05:30"], "21:59", minutes(1)),
            (&["12:00-13:00", "22:00-23:00"], "14:00", minutes(8 * 60)),
            (&["12:00-13:00", "22:00-23:00"], "23:00", minutes(13 * 60)),
            (&["12:00-13:00", "22:00-23:00"], "12:30", None),
            (&["00:00-24:00"], "23:59", None),
            (&["23:00-00:00"], "23:30", None),
            (&["23:00-00:00"], "00:00", minutes(23 * 60)),
        ] {
            assert_eq!(until_open(&windows(texts), second(now)), expected, "{texts:?} at {now}");
        }
    }

    #[test]
    fn at_every_second_it_is_open_or_opens_when_it_says() {
        let windows = [Window::from_text("22:10-05:30").unwrap(), Window::from_text("11:00-12:00").unwrap()];
        for now in 0..DAY {
            if let Some(left) = until_open(&windows, now) {
                let then = (now + u32::try_from(left.as_secs()).unwrap()) % DAY;
                assert!(!left.is_zero() && until_open(&windows, then).is_none(), "{now}");
                assert!(until_open(&windows, (then + DAY - 1) % DAY).is_some(), "{now}");
            }
        }
    }
}
