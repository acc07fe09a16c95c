use std::fmt;

/// A number that a tenant sends and receives SMS under, in its one spelling: `+4930123456`, or a short code.
///
/// E.164 (ITU-T) gives a number at most 15 digits behind the `+`; no country has one of fewer than 7. Short codes are
/// national and no part of E.164: 3 to 8 digits over all countries, never with a leading zero.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SmsNumber(String);

/// Why a text is not such a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SmsNumberError {
    #[error("it has a character that is neither a digit nor a separator")]
    Character,
    #[error("it has {0} digits; behind the `+` there are 7 to 15 (E.164)")]
    Length(usize),
    #[error("a country code does not begin with 0")]
    LeadingZero,
    #[error(
        "it is neither in international form (`+49…`) nor a short code of 3 to 8 digits without a leading zero"
    )]
    NotInternational,
}

impl SmsNumber {
    /// Reads a number in whichever spelling: blanks, `.`, `/`, `-` and brackets behind a `+` or `00` do not matter, and
    /// neither does `(0)`. Without a prefix only bare digits can be told from a number of some country.
    pub fn parse(text: &str) -> Result<Self, SmsNumberError> {
        let text = text.trim();
        let international = text.strip_prefix('+').or_else(|| text.strip_prefix("00"));
        let Some(rest) = international else {
            let digits = text.bytes().all(|b| b.is_ascii_digit());
            let fits = digits && (3..=8).contains(&text.len()) && !text.starts_with('0');
            return if fits { Ok(Self(text.to_owned())) } else { Err(SmsNumberError::NotInternational) };
        };
        let is_separator = |c: char| matches!(c, ' ' | '-' | '.' | '/' | '(' | ')' | '\t' | '\u{a0}');
        let digits: String = rest.replace("(0)", "").chars().filter(|c| !is_separator(*c)).collect();
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(SmsNumberError::Character);
        }
        if digits.starts_with('0') {
            return Err(SmsNumberError::LeadingZero);
        }
        if !(7..=15).contains(&digits.len()) {
            return Err(SmsNumberError::Length(digits.len()));
        }
        Ok(Self(format!("+{digits}")))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SmsNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_number_is_the_same_number() {
        for text in
            ["+4930123456", "+49 30 123456", "+49 (0)30 / 12-34.56", "0049 30 123456", " +49\u{a0}30123456 "]
        {
            assert_eq!(SmsNumber::parse(text).unwrap().as_str(), "+4930123456", "{text}");
        }
        for code in ["110", "12345", "12345678"] {
            assert_eq!(SmsNumber::parse(code).unwrap().as_str(), code);
        }
    }

    #[test]
    fn an_ambiguous_number_is_refused() {
        use SmsNumberError as E;
        for (text, error) in [
            ("", E::NotInternational),
            ("030 123456", E::NotInternational),
            ("0301234", E::NotInternational),
            ("555-1234", E::NotInternational),
            ("12", E::NotInternational),
            ("123456789", E::NotInternational),
            ("+49a30123456", E::Character),
            ("+49\u{202e}30123456", E::Character),
            ("+049301234567", E::LeadingZero),
            ("+123456", E::Length(6)),
            ("+1234567890123456", E::Length(16)),
        ] {
            assert_eq!(SmsNumber::parse(text), Err(error), "{text}");
        }
    }
}
