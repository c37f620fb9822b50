//! Finds time zones by name, and formats times for people, in UTC or in a time zone.

use jiff::{Timestamp, tz::TimeZone};

/// Returns the time zone with this name in the IANA database, for example `Europe/Berlin`.
///
/// # Errors
/// Fails if the database has no such name. The error is the most similar name in the database, or `None` if no name is
/// similar.
pub(crate) fn zone(name: &str) -> Result<TimeZone, Option<String>> {
    if name == "UTC" {
        return Ok(TimeZone::UTC);
    }
    // Accept only names from the database, because `TimeZone::get` can read other files of the system.
    let zone = TimeZone::get(name).ok().filter(|zone| zone.iana_name().is_some());
    zone.ok_or_else(|| {
        let names: Vec<String> = jiff::tz::db().available().map(|known| known.as_str().to_owned()).collect();
        crate::base::text::nearest(name, names.iter().map(String::as_str)).map(str::to_owned)
    })
}

/// Formats a time in UTC: `2026-11-21 14:05 UTC`. Omits seconds that are zero.
pub(crate) fn utc_text(at: Timestamp) -> String {
    let shape = if at.as_second() % 60 == 0 { "%Y-%m-%d %H:%M UTC" } else { "%Y-%m-%d %H:%M:%S UTC" };
    at.strftime(shape).to_string()
}

/// Formats a time in a time zone: `2026-11-21 14:00 UTC`, `2026-11-21 14:00 +01:00 Europe/Berlin`. Omits seconds that
/// are zero.
pub(crate) fn zoned_text(at: Timestamp, zone: &TimeZone) -> String {
    if *zone == TimeZone::UTC {
        return utc_text(at);
    }
    let shape = if at.as_second() % 60 == 0 { "%Y-%m-%d %H:%M %:z %Q" } else { "%Y-%m-%d %H:%M:%S %:z %Q" };
    at.to_zoned(zone.clone()).strftime(shape).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_found_by_name_and_a_typo_gets_a_suggestion() {
        assert_eq!(zone("Europe/Berlin").unwrap().iana_name(), Some("Europe/Berlin"));
        assert_eq!(zone("UTC").unwrap(), TimeZone::UTC);
        assert_eq!(zone("Europe/Berlim").unwrap_err().as_deref(), Some("Europe/Berlin"));
        assert!(zone("../etc/passwd").is_err() && zone("").is_err());
    }

    #[test]
    fn a_time_is_shown_with_its_zone() {
        let at: Timestamp = "2026-11-21T13:00:00Z".parse().unwrap();
        assert_eq!(zoned_text(at, &TimeZone::UTC), "2026-11-21 13:00 UTC");
        assert_eq!(zoned_text(at, &zone("Europe/Berlin").unwrap()), "2026-11-21 14:00 +01:00 Europe/Berlin");
    }
}
