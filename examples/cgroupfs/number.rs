//! What users write, read as the kernel reads it.

use kernfs::Errno;

/// The text of a write: up to a NUL, without white space around it.
pub(super) fn text(data: &[u8]) -> Result<&str, Errno> {
    let text = data.split(|&byte| byte == 0).next().unwrap_or_default();
    std::str::from_utf8(text)
        .map(str::trim_ascii)
        .map_err(|_| Errno::EINVAL)
}

/// A number: decimal, octal with a leading 0, hexadecimal with 0x, with or without a sign. `kstrtoint`.
pub(super) fn of(text: &str) -> Result<i32, Errno> {
    let (sign, digits) = match text.as_bytes() {
        [b'-', ..] => (-1, &text[1..]),
        [b'+', ..] => (1, &text[1..]),
        _ => (1, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', _, ..] => (16, &digits[2..]),
        [b'0', _, ..] => (8, digits),
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err(Errno::EINVAL);
    }
    let number = i64::from_str_radix(digits, radix).map_err(|_| Errno::ERANGE)?;
    i32::try_from(sign * number).map_err(|_| Errno::ERANGE)
}

/// 0 or 1.
pub(super) fn switch(text: &str) -> Result<bool, Errno> {
    match of(text)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Errno::ERANGE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_the_kernel_reads_them() {
        for (text, number) in [
            ("0", 0),
            ("-0", 0),
            ("+5", 5),
            ("-1", -1),
            ("0x10", 16),
            ("010", 8),
            ("2147483647", i32::MAX),
            ("-2147483648", i32::MIN),
        ] {
            assert_eq!(of(text), Ok(number), "{text}");
        }
        for text in [
            "", "-", "+-1", "5x", "5 5", "0x", "08", "max", "é", "0x-1", "-é",
        ] {
            assert_eq!(of(text), Err(Errno::EINVAL), "{text}");
        }
        for text in ["2147483648", "-2147483649", "99999999999999999999"] {
            assert_eq!(of(text), Err(Errno::ERANGE), "{text}");
        }
        assert_eq!(switch("01"), Ok(true));
        assert_eq!(switch("2"), Err(Errno::ERANGE));
        assert_eq!(text(b" 1 \n\0junk"), Ok("1"));
        assert_eq!(text(b"\xff"), Err(Errno::EINVAL));
    }
}
