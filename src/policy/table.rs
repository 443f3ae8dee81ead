//! TOML tables read key by key: what is missing, of the wrong type or unknown becomes a problem with its place, and
//! reading goes on, so that one look finds all of them.

use std::{
    ops::Range,
    time::{Duration, SystemTime},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
    value::{Datetime, Offset},
};

use super::{durations, problem::Problems};

/// What is left of a table to be read.
pub(crate) struct Table<'t> {
    rest: DeTable<'t>,
    pub(crate) span: Range<usize>,
    /// Keys that were asked for, present or not.
    known: Vec<&'static str>,
}

impl<'t> Table<'t> {
    /// Reads a whole document; `None`, and an error for the first fault, where it is not TOML.
    pub(crate) fn parse(text: &'t str, problems: &mut Problems) -> Option<Self> {
        if text.starts_with('\u{feff}') {
            problems.error(0..'\u{feff}'.len_utf8(), "the text begins with a byte order mark", Some("save it as UTF-8 without one".into()));
            return None;
        }
        match DeTable::parse(text) {
            Ok(table) => Some(Self { span: table.span(), rest: table.into_inner(), known: Vec::new() }),
            Err(error) => {
                problems.error(error.span().unwrap_or_default(), format!("not valid TOML: {}", error.message()), None);
                None
            }
        }
    }

    /// Whether a key is written and not yet read.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.rest.contains_key(key)
    }

    pub(crate) fn string(&mut self, key: &'static str, problems: &mut Problems) -> Option<Spanned<String>> {
        let value = self.take(key)?;
        string(&value, &format!("\"{key}\""), problems)
    }

    pub(crate) fn boolean(&mut self, key: &'static str, problems: &mut Problems) -> Option<Spanned<bool>> {
        let value = self.take(key)?;
        let span = value.span();
        if let DeValue::Boolean(set) = value.get_ref() {
            return Some(Spanned::new(span, *set));
        }
        wrong_type(&value, &format!("\"{key}\""), "true or false", problems);
        None
    }

    /// A whole number from 1 to `most`.
    pub(crate) fn count(&mut self, key: &'static str, most: u32, problems: &mut Problems) -> Option<u32> {
        let value = self.take(key)?;
        if let DeValue::Integer(number) = value.get_ref() {
            let number = u32::from_str_radix(number.as_str(), number.radix()).ok().filter(|number| (1..=most).contains(number));
            if number.is_some() {
                return number;
            }
            problems.error(value.span(), format!("\"{key}\" must be a number from 1 to {most}"), None);
            return None;
        }
        wrong_type(&value, &format!("\"{key}\""), "a whole number", problems);
        None
    }

    /// A number of octets: a whole number, or one with a unit, as in "1 MiB".
    pub(crate) fn octets(&mut self, key: &'static str, problems: &mut Problems) -> Option<u64> {
        let value = self.take(key)?;
        let octets = match value.get_ref() {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            DeValue::String(text) => octets(text),
            DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                wrong_type(&value, &format!("\"{key}\""), "a number of octets, such as \"1 MiB\"", problems);
                return None;
            }
        };
        if octets.is_none() {
            let help = "write a number of octets, or one with B, KB, KiB, MB, MiB, GB or GiB: \"1 MiB\"";
            problems.error(value.span(), format!("\"{key}\" names no size"), Some(help.into()));
        }
        octets
    }

    /// A duration, spelled as `500ms`, `10s`, `10m` or `1h`.
    pub(crate) fn duration(&mut self, key: &'static str, problems: &mut Problems) -> Option<Duration> {
        let text = self.string(key, problems)?;
        match durations::parse(text.get_ref()) {
            Ok(duration) => Some(duration),
            Err(error) => {
                let help = "write a whole number and its unit, ms, s, m or h: \"500ms\", \"10s\", \"1h\"";
                problems.error(text.span(), format!("{error}: {:?}", text.get_ref()), Some(help.into()));
                None
            }
        }
    }

    /// A moment; it has an offset from UTC.
    pub(crate) fn moment(&mut self, key: &'static str, problems: &mut Problems) -> Option<SystemTime> {
        let value = self.take(key)?;
        let DeValue::Datetime(written) = value.get_ref() else {
            wrong_type(&value, &format!("\"{key}\""), "a date and time without quotes, such as 2026-12-01T00:00:00Z", problems);
            return None;
        };
        let moment = system_time(written);
        if moment.is_none() {
            let help = "write date, time and offset, such as 2026-12-01T00:00:00Z";
            problems.error(value.span(), format!("\"{key}\" names no moment: {written}"), Some(help.into()));
        }
        moment
    }

    pub(crate) fn array(&mut self, key: &'static str, problems: &mut Problems) -> Vec<Spanned<DeValue<'t>>> {
        let Some(value) = self.take(key) else { return Vec::new() };
        if let DeValue::Array(_) = value.get_ref() {
            let DeValue::Array(array) = value.into_inner() else { return Vec::new() };
            return array.into_iter().collect();
        }
        wrong_type(&value, &format!("\"{key}\""), "an array, such as [\"…\"]", problems);
        Vec::new()
    }

    pub(crate) fn strings(&mut self, key: &'static str, problems: &mut Problems) -> Vec<Spanned<String>> {
        let values = self.array(key, problems);
        values.iter().filter_map(|value| string(value, &format!("an element of \"{key}\""), problems)).collect()
    }

    /// A string, or an array of them.
    pub(crate) fn one_or_more(&mut self, key: &'static str, problems: &mut Problems) -> Vec<Spanned<String>> {
        if matches!(self.rest.get(key).map(Spanned::get_ref), Some(DeValue::Array(_))) {
            return self.strings(key, problems);
        }
        self.string(key, problems).into_iter().collect()
    }

    pub(crate) fn table(&mut self, key: &'static str, problems: &mut Problems) -> Option<Self> {
        let value = self.take(key)?;
        Self::of(value, &format!("\"{key}\""), problems)
    }

    /// A value that must be a table.
    pub(crate) fn of(value: Spanned<DeValue<'t>>, what: &str, problems: &mut Problems) -> Option<Self> {
        let span = value.span();
        if let DeValue::Table(_) = value.get_ref() {
            let DeValue::Table(rest) = value.into_inner() else { return None };
            return Some(Self { rest, span, known: Vec::new() });
        }
        wrong_type(&value, what, "a table", problems);
        None
    }

    /// Takes out keys that mean something to others.
    pub(crate) fn leave(&mut self, keys: &[&'static str]) {
        for key in keys {
            self.take(key);
        }
    }

    /// Refuses what was not asked for. `later` names keys that the contract knows and this version does not, with why.
    pub(crate) fn finish(self, later: &[(&str, &str)], problems: &mut Problems) {
        for (key, _) in &self.rest {
            let name = key.get_ref();
            let help = match later.iter().find(|(known, _)| known == name) {
                Some((_, why)) => (*why).to_owned(),
                None => format!("the keys here are {}", self.known.join(", ")),
            };
            problems.error(key.span(), format!("unknown key \"{}\"", name.escape_debug()), Some(help));
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Spanned<DeValue<'t>>> {
        self.known.push(key);
        self.rest.remove(key)
    }
}

/// A value that must be a string.
pub(crate) fn string(value: &Spanned<DeValue<'_>>, what: &str, problems: &mut Problems) -> Option<Spanned<String>> {
    let span = value.span();
    if let DeValue::String(text) = value.get_ref() {
        return Some(Spanned::new(span, text.clone().into_owned()));
    }
    wrong_type(value, what, "a string", problems);
    None
}

pub(crate) fn wrong_type(value: &Spanned<DeValue<'_>>, what: &str, wanted: &str, problems: &mut Problems) {
    let found = match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    };
    problems.error(value.span(), format!("{what} must be {wanted}, not {found}"), None);
}

/// The octets that a number with a unit names.
fn octets(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|character: char| !character.is_ascii_digit())?);
    let unit = match unit.trim_start_matches(' ') {
        "B" => 1,
        "KB" => 1_000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// The moment that a TOML date-time with an offset names; `None` before 1970 and where part of it is missing.
fn system_time(written: &Datetime) -> Option<SystemTime> {
    let (date, time) = (written.date?, written.time?);
    let offset = match written.offset? {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    // Days since 1970-01-01 in the proleptic Gregorian calendar, with years that begin in March.
    let (month, day) = (i64::from(date.month), i64::from(date.day));
    let year = i64::from(date.year) - i64::from(month <= 2);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468;
    let minutes = (days * 24 + i64::from(time.hour)) * 60 + i64::from(time.minute) - offset;
    let seconds = u64::try_from(minutes * 60 + i64::from(time.second.unwrap_or_default())).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, time.nanosecond.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, expected) in [("1 MiB", 1 << 20), ("10 KB", 10_000), ("0 B", 0), ("2GiB", 2 << 30), ("3 GB", 3_000_000_000)] {
            assert_eq!(octets(text), Some(expected), "{text}");
        }
        for text in ["", "1", "MiB", "-1 B", "1.5 MiB", "1 mib", "1 MiB ", "1\tB", "99999999999 GiB", "18446744073709551616 B"] {
            assert_eq!(octets(text), None, "{text}");
        }
    }

    #[test]
    fn moments() {
        let seconds = |text: &str| {
            let time = system_time(&text.parse().unwrap())?;
            Some(time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
        };
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(seconds("2000-02-29T12:00:00Z"), Some(951_825_600));
        assert_eq!(seconds("2026-12-01T00:00:00Z"), Some(1_796_083_200));
        assert_eq!(seconds("2026-12-01T01:30:00+01:30"), Some(1_796_083_200));
        assert_eq!(seconds("2024-12-31T23:59:59Z"), Some(1_735_689_599));
        assert_eq!(seconds("1969-12-31T23:59:59Z"), None);
        assert_eq!(seconds("2026-12-01T00:00:00"), None);
        assert_eq!(seconds("2026-12-01"), None);
    }
}
