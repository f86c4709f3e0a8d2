//! The only door to the time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds since 1970 in UTC, printed as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u64);

/// When this version of sealift was made: no clock that is right stands before it. Raised with each release.
pub const RELEASED: Timestamp = Timestamp(1_795_219_200);

/// Seconds by which one signed document may raise the floor of time: a clock far in the future that signed once
/// does no lasting harm (threats H09).
pub const FLOOR_STEP: u64 = 400 * 86_400;

/// The two clocks of a site without network: neither is right for certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// What the system says.
    pub system: Timestamp,
    /// The least that it can be, proven by signed documents that were accepted here.
    pub floor: Timestamp,
}

impl Clocks {
    /// The later of the two.
    pub fn best(self) -> Timestamp {
        self.system.max(self.floor)
    }

    /// The floor after a document that was made at `created` has been accepted.
    pub fn raised(self, created: Timestamp) -> Timestamp {
        let most = Timestamp(self.floor.0.saturating_add(FLOOR_STEP).min(LAST));
        self.floor.max(created.min(most))
    }
}

/// The last second of the year 9999, the last that RFC 3339 can write.
const LAST: u64 = 253_402_300_799;

impl Timestamp {
    /// Now, by the system clock.
    #[expect(clippy::disallowed_methods, reason = "the one door to the system clock")]
    pub fn now() -> Self {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        Self(seconds.min(LAST))
    }

    /// From seconds since 1970, as in `SOURCE_DATE_EPOCH`; `None` past the year 9999.
    pub fn from_seconds(seconds: u64) -> Option<Self> {
        (seconds <= LAST).then_some(Self(seconds))
    }

    /// Seconds since 1970.
    pub fn seconds(self) -> u64 {
        self.0
    }

    /// A day, which is its first moment in UTC, or a time.
    pub fn of_day(text: &str) -> Option<Self> {
        Self::parse(text).or_else(|| Self::parse(&format!("{text}T00:00:00Z")))
    }

    /// Parses exactly `YYYY-MM-DDTHH:MM:SSZ`.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |from: usize, to: usize| -> Option<u64> {
            let part = text.get(from..to)?;
            part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?
        };
        let days = days_from_civil(number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let seconds =
            days.checked_mul(86_400)? + number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
        let stamp = Self(seconds);
        (stamp.to_string() == text).then_some(stamp)
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (year, month, day) = civil_from_days(self.0 / 86_400);
        let rest = self.0 % 86_400;
        write!(f, "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
    }
}

impl schemars::JsonSchema for Timestamp {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom("expected a time like 2026-11-21T00:00:00Z"))
    }
}

/// Days since 1970-01-01 of a proleptic Gregorian date, by counting eras of 400 years (from 0000-03-01).
fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year.saturating_sub(1) } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.saturating_sub(1);
    (era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year).saturating_sub(719_468)
}

fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// H09: one document from the year 2099 raises the floor by 400 days, no more.
    #[test]
    fn the_floor_rises_slowly_and_never_falls() {
        let time = |text| Timestamp::parse(text).unwrap();
        let clocks = Clocks { system: time("1970-01-01T00:00:00Z"), floor: RELEASED };
        assert_eq!(RELEASED.to_string(), "2026-11-21T00:00:00Z");
        assert_eq!(clocks.best(), RELEASED);
        assert_eq!(clocks.raised(time("2099-01-01T00:00:00Z")).to_string(), "2027-12-26T00:00:00Z");
        assert_eq!(clocks.raised(time("2027-01-01T00:00:00Z")).to_string(), "2027-01-01T00:00:00Z");
        assert_eq!(clocks.raised(time("2001-01-01T00:00:00Z")), RELEASED);
    }

    #[test]
    fn dates_go_there_and_back() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_305_599, "2026-11-21T23:59:59Z"),
            (LAST, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(Timestamp(seconds).to_string(), text);
            assert_eq!(Timestamp::parse(text), Some(Timestamp(seconds)));
        }
        for wrong in [
            "2026-02-30T00:00:00Z",
            "2026-1-01T00:00:00Z",
            "2026-01-01 00:00:00Z",
            "2026-13-01T00:00:00Z",
            "",
        ] {
            assert_eq!(Timestamp::parse(wrong), None, "{wrong}");
        }
    }
}
