//! A clock that runs faster than life, for tests of hours: against a sandbox on this machine, and nowhere else. Against
//! Graph it would burn a day's calls in minutes.

use std::net::IpAddr;
use std::str::FromStr;

use crate::clock::Clock;
use crate::presence::Mono;

/// How much faster, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Speed {
    speed: u32,
    since: Option<Mono>,
}

impl Speed {
    pub(super) fn clock(self) -> Clock {
        match self.since {
            Some(since) => Clock::faster_since(self.speed, since),
            None => Clock::faster(self.speed),
        }
    }
}

impl FromStr for Speed {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "SPEED from 1 to 100000, or SPEED@MILLISECONDS since boot";
        let (speed, since) = text.split_once('@').map_or((text, None), |(speed, since)| (speed, Some(since)));
        let speed = speed.parse().ok().filter(|speed| (1..=100_000).contains(speed)).ok_or(wrong)?;
        let since = since.map(str::parse).transpose().map_err(|_| wrong)?;
        Ok(Speed { speed, since: since.map(Mono::from_millis) })
    }
}

/// # Errors
/// One of these is elsewhere.
pub(super) fn only_on_loopback(urls: [&String; 2]) -> Result<(), String> {
    match urls.into_iter().find(|url| !is_loopback(url)) {
        None => Ok(()),
        Some(url) => Err(format!(
            "--clock is for a sandbox on this machine, and {url} is elsewhere; leave it out, or use --sandbox"
        )),
    }
}

fn is_loopback(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_read() {
        assert_eq!("60".parse(), Ok(Speed { speed: 60, since: None }));
        assert_eq!("60@5".parse(), Ok(Speed { speed: 60, since: Some(Mono::from_millis(5)) }));
        for wrong in ["", "0", "-1", "60@", "60@x", "x@5", "1e3", "100001"] {
            assert!(wrong.parse::<Speed>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_this_machine_is_this_machine() {
        for (url, here) in [
            ("https://localhost:8443", true),
            ("http://127.0.0.1:8080/x", true),
            ("https://[::1]:8443", true),
            ("https://graph.microsoft.com", false),
            ("https://localhost.example:8443", false),
            ("https://127.0.0.1.example", false),
            ("https://graph.microsoft.com/@localhost", false),
        ] {
            assert_eq!(is_loopback(url), here, "{url}");
        }
    }
}
