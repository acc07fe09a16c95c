//! What other readers of YAML would make of a word without quotes.

use std::fmt;

/// Something other than text that a YAML 1.1 or 1.2 reader takes a plain scalar for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    Null,
    /// `true`, `false`
    Boolean,
    /// `yes`, `No`, `on`, `y`, `True`, …: a boolean in YAML 1.1, text or a boolean in 1.2
    OldBoolean,
    /// A decimal number without a leading zero: the same for every reader
    Integer,
    /// `1.5`
    Decimal,
    /// `0123`: octal in YAML 1.1, decimal in 1.2
    LeadingZero,
    /// `1_000`
    Underscore,
    /// `12:30`: a number to base 60 in YAML 1.1
    Base60,
    /// `0x1f`, `0o17`, `0b1`, `+1`
    OtherNumber,
    /// `1e3`, `.5`, `.inf`
    OtherDecimal,
    /// `2026-01-31`
    Date,
    /// `<<` or `=`
    Sign,
}

impl Reading {
    /// Reads a plain scalar as the loosest of readers would; none for what everybody takes for text.
    pub fn of(text: &str) -> Option<Self> {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => return Some(Self::Null),
            "true" | "false" => return Some(Self::Boolean),
            "True" | "TRUE" | "False" | "FALSE" | "y" | "Y" | "yes" | "Yes" | "YES" | "n" | "N" | "no"
            | "No" | "NO" | "on" | "On" | "ON" | "off" | "Off" | "OFF" => return Some(Self::OldBoolean),
            "<<" | "=" => return Some(Self::Sign),
            _ => {}
        }
        let first = text.as_bytes()[0];
        if !(first.is_ascii_digit() || matches!(first, b'+' | b'-' | b'.')) {
            return None;
        }
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        if is_date(text) {
            return Some(Self::Date);
        }
        if !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit()) {
            return Some(if unsigned.len() > 1 && unsigned.starts_with('0') {
                Self::LeadingZero
            } else if text.starts_with('+') {
                Self::OtherNumber
            } else {
                Self::Integer
            });
        }
        if let Some(digits) = unsigned.strip_prefix('0')
            && let Some(base) = digits.chars().next().filter(|c| "xXoObB".contains(*c))
        {
            let radix = match base.to_ascii_lowercase() {
                'x' => 16,
                'o' => 8,
                _ => 2,
            };
            let digits = &digits[1..];
            if !digits.is_empty() && digits.chars().all(|c| c == '_' || c.is_digit(radix)) {
                return Some(Self::OtherNumber);
            }
        }
        let starts_with_digit = unsigned.starts_with(|c: char| c.is_ascii_digit());
        if starts_with_digit && unsigned.bytes().all(|b| b.is_ascii_digit() || b == b'_') {
            return Some(Self::Underscore);
        }
        if starts_with_digit && is_base_60(unsigned) {
            return Some(Self::Base60);
        }
        if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
            return Some(Self::OtherDecimal);
        }
        is_decimal(unsigned).then(|| {
            let simple = unsigned.split_once('.').is_some_and(|(whole, part)| {
                (whole == "0" || !whole.starts_with('0'))
                    && [whole, part].iter().all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
            });
            if simple && !text.starts_with('+') { Self::Decimal } else { Self::OtherDecimal }
        })
    }

    /// Whether every reader agrees on it: `true`, `false`, `45`, `1.5`.
    pub fn is_unambiguous(self) -> bool {
        matches!(self, Self::Boolean | Self::Integer | Self::Decimal)
    }
}

/// Completes "… without quotes is".
impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null, no value at all",
            Self::Boolean => "a boolean, not a text",
            Self::OldBoolean => "a boolean to some YAML readers and a text to others",
            Self::Integer | Self::Decimal => "a number, not a text",
            Self::LeadingZero => "an octal number to some YAML readers and a decimal one to others",
            Self::Underscore => "a number to some YAML readers and a text to others",
            Self::Base60 => "a base-60 number to some YAML readers and a text to others",
            Self::OtherNumber | Self::OtherDecimal => "a number to YAML, written in an unusual way",
            Self::Date => "a date to some YAML readers and a text to others",
            Self::Sign => "a special sign to some YAML readers",
        })
    }
}

/// `1.5`, `1.`, `.5`, `1e3`, `1_0.5`: digits with a point or an exponent.
fn is_decimal(unsigned: &str) -> bool {
    let (number, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, Some(exponent)),
        None => (unsigned, None),
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    });
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    exponent_fits
        && digits(whole)
        && digits(part)
        && number.bytes().any(|b| b.is_ascii_digit())
        && (number.contains('.') || exponent.is_some())
}

/// `12:30`, `1:02:03`, `190:20:30.15`
fn is_base_60(unsigned: &str) -> bool {
    let mut parts = unsigned.split(':');
    let first = parts.next().unwrap_or_default();
    let mut any = false;
    let rest = parts.all(|part| {
        any = true;
        let whole = part.split_once('.').map_or(part, |(whole, _)| whole);
        (1..=2).contains(&whole.len()) && part.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'_'))
    });
    any && rest && first.bytes().all(|b| b.is_ascii_digit() || b == b'_')
}

/// `2026-1-31`, `2026-01-31T12:00:00Z`
fn is_date(text: &str) -> bool {
    let date = text.split(['T', 't', ' ']).next().unwrap_or_default();
    let mut parts = date.split('-');
    let (Some(year), Some(month), Some(day), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    year.len() == 4 && month.len() <= 2 && day.len() <= 2 && [year, month, day].into_iter().all(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_with_another_reading_are_known() {
        use Reading::*;
        for (reading, texts) in [
            (Null, &["", "~", "null", "NULL"][..]),
            (Boolean, &["true", "false"]),
            (OldBoolean, &["no", "NO", "on", "y", "N", "True", "off"]),
            (Integer, &["0", "45", "-3", "12345678901234567890123"]),
            (Decimal, &["1.5", "-0.25", "10.0"]),
            (LeadingZero, &["0123", "007", "-01", "08"]),
            (Underscore, &["1_000", "1_"]),
            (Base60, &["12:30", "1:02:03", "190:20:30.15"]),
            (OtherNumber, &["0x1f", "0o17", "0b101", "+1"]),
            (OtherDecimal, &["1e3", ".5", "1.", ".inf", "-.INF", ".nan", "1.5e-3", "01.5", "+1.5"]),
            (Date, &["2026-01-31", "2026-1-1T10:00:00Z"]),
            (Sign, &["<<", "="]),
        ] {
            for text in texts {
                assert_eq!(Reading::of(text), Some(reading), "{text:?}");
            }
        }
        for text in [
            "acme",
            "a.example.com",
            "10.0.0.1",
            "-",
            ".",
            "..",
            "nope",
            "e3",
            "1e",
            "0x",
            "0xzz",
            "+",
            "-x",
            "3com",
            "12:30pm",
            "12:345",
            "2026-01",
            "+49 30 1234",
            "ü",
            "nul",
            "yess",
            "::1",
            "1.2.3",
        ] {
            assert_eq!(Reading::of(text), None, "{text:?}");
        }
    }
}
