//! What the values of options may be. Each side has one table of its own, looked at when a channel or a server is built.

use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};

use crate::error::{ConfigError, ConfigErrorKind};

/// One row: `option` has this value, which has to lie within `range`. `why` is what would come of others.
///
/// # Errors
/// It does not. The text names the option, its value and the bounds.
pub(crate) fn within<T: Copy + Debug + PartialOrd>(
    option: &str,
    value: T,
    range: impl RangeBounds<T>,
    why: &str,
) -> Result<(), ConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    let bounds = match (inner(range.start_bound()), inner(range.end_bound())) {
        (Some(least), Some(most)) => format!("{least:?} to {most:?}"),
        (Some(least), None) => format!("at least {least:?}"),
        (None, Some(most)) => format!("at most {most:?}"),
        (None, None) => "a value".into(),
    };
    let text = format!("option {option} is {value:?}, and has to be {bounds}: {why}");
    Err(ConfigError::new(ConfigErrorKind::Option, text))
}

fn inner<T: Copy>(bound: Bound<&T>) -> Option<T> {
    match bound {
        Bound::Included(value) | Bound::Excluded(value) => Some(*value),
        Bound::Unbounded => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_lies_outside_is_named_with_its_bounds() {
        let second = Duration::from_secs(1);
        assert_eq!(within("a", 1, 1.., "w"), Ok(()));
        assert_eq!(within("a", second, ..=second, "w"), Ok(()));
        let told = |result: Result<(), ConfigError>| result.unwrap_err().to_string();
        let least = told(within("a_b", 0_usize, 1.., "nothing would come"));
        assert_eq!(least, "option a_b is 0, and has to be at least 1: nothing would come");
        assert!(
            told(within("a", second * 2, ..=second, "w")).contains("2s, and has to be at most 1s")
        );
        assert!(told(within("a", 9, 1..=3, "w")).contains("1 to 3"));
    }
}
